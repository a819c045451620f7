#include "data_prep/split.h"

#include <algorithm>
#include <cmath>

#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::HasSubstr;

std::int64_t count(const std::vector<bool>& held_out) { return std::count(held_out.begin(), held_out.end(), true); }

TEST(HoldOut, TakesTheShareAndAlwaysTheSame) {
  EXPECT_EQ(count(hold_out(1000, 0.1, 1)), 100);
  EXPECT_EQ(count(hold_out(2, 0.01, 1)), 1);
  EXPECT_EQ(count(hold_out(3, 0.99, 1)), 2);
  EXPECT_EQ(count(hold_out(10, 0, 1)), 0);
  EXPECT_EQ(hold_out(1000, 0.1, 1), hold_out(1000, 0.1, 1));
  EXPECT_NE(hold_out(1000, 0.1, 1), hold_out(1000, 0.1, 2));
}

TEST(HoldOut, RefusesWhatCannotBe) {
  EXPECT_THAT(test::message_of<DataError>([] { hold_out(1, 0.1, 1); }),
              HasSubstr("cannot hold out validation text from 1"));
  for (const double share : {-0.1, 1.0, std::nan(""), HUGE_VAL}) EXPECT_THROW(hold_out(10, share, 1), ConfigError);
}

TEST(HoldOutByLabel, IsStratified) {
  std::vector<std::int32_t> labels(1000, 0), groups(1000, -1);
  for (std::size_t i = 0; i < 50; ++i) labels[i * 20] = 1;
  labels[3] = 2;  // a class of one stays in the training text
  const std::vector<bool> held_out = hold_out_by_label(labels, groups, 0.1, 7);
  std::vector<int> by_label(3, 0);
  for (std::size_t i = 0; i < labels.size(); ++i) by_label[static_cast<std::size_t>(labels[i])] += held_out[i] ? 1 : 0;
  EXPECT_EQ(by_label, (std::vector<int>{95, 5, 0}));
}

TEST(HoldOutByLabel, NeverPartsAGroup) {
  std::vector<std::int32_t> labels, groups;
  for (int i = 0; i < 600; ++i) {
    labels.push_back(i % 3);
    groups.push_back(i / 7);
  }
  const std::vector<bool> held_out = hold_out_by_label(labels, groups, 0.1, 7);
  for (std::size_t i = 1; i < labels.size(); ++i) {
    if (groups[i] != groups[i - 1]) continue;
    EXPECT_EQ(held_out[i], held_out[i - 1]);
  }
  EXPECT_GT(count(held_out), 40);
  EXPECT_LE(count(held_out), 60);
}

TEST(HoldOutByLabel, RefusesOneGroup) {
  EXPECT_THAT(test::message_of<DataError>([] {
                hold_out_by_label({0, 1, 0, 1}, {0, 0, 0, 0}, 0.1, 7);
              }),
              HasSubstr("4 training texts in 1 groups"));
}

TEST(FoldsByLabel, SpreadLabelsAndSizesEvenlyAndKeepGroupsTogether) {
  std::vector<std::int32_t> labels, groups;
  for (int i = 0; i < 103; ++i) {
    labels.push_back(i % 10 == 0 ? 1 : 0);
    groups.push_back(-1);
  }
  const std::vector<std::int32_t> folds = folds_by_label(labels, groups, 5, 3);
  EXPECT_EQ(folds, folds_by_label(labels, groups, 5, 3));
  EXPECT_NE(folds, folds_by_label(labels, groups, 5, 4));
  std::vector<int> sizes(5, 0), rare(5, 0);
  for (std::size_t i = 0; i < folds.size(); ++i) {
    ASSERT_TRUE(folds[i] >= 0 && folds[i] < 5);
    ++sizes[static_cast<std::size_t>(folds[i])];
    rare[static_cast<std::size_t>(folds[i])] += labels[i];
  }
  for (std::size_t f = 0; f < 5; ++f) {
    EXPECT_TRUE(sizes[f] == 20 || sizes[f] == 21) << sizes[f];
    EXPECT_TRUE(rare[f] == 2 || rare[f] == 3) << rare[f];  // eleven
  }
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<std::int32_t>(i / 4);
  const std::vector<std::int32_t> grouped = folds_by_label(labels, groups, 5, 3);
  for (std::size_t i = 1; i < grouped.size(); ++i) {
    if (groups[i] == groups[i - 1]) {
      EXPECT_EQ(grouped[i], grouped[i - 1]);
    }
  }
}

TEST(FoldsByLabel, RefusesMoreFoldsThanGroups) {
  EXPECT_THAT(test::message_of<DataError>([] {
                folds_by_label({0, 1, 0, 1}, {0, 0, 1, 1}, 3, 7);
              }),
              HasSubstr("in 2 groups into 3 folds"));
}

}  // namespace
}  // namespace ulmfit::data_prep
