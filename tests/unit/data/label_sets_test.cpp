#include "data/label_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace ulmfit::data {
namespace {

using ::testing::HasSubstr;

TEST(LabelSets, ComeBackFromTheirLines) {
  const LabelSets sets{{}, {0, 1, 12}, {3}};
  EXPECT_EQ(label_sets_text(sets), "\n0 1 12\n3\n");
  EXPECT_EQ(parse_label_sets({"", "0 1 12", "3"}), sets);
  EXPECT_EQ(label_sets_defect(sets, 13), "");
}

TEST(LabelSets, OtherLinesAreRefused) {
  for (const char* line : {"a", "0,1", "0  1", " 0", "0 ", "01", "+1", "0 x", "1.5", "99999999999"}) {
    try {
      parse_label_sets({"0", line});
      ADD_FAILURE() << line;
    } catch (const DataError& e) {
      EXPECT_THAT(e.what(), HasSubstr(str("line 2 of the label sets is '", line, "'")));
    }
  }
}

TEST(LabelSets, DefectsAreNamed) {
  EXPECT_EQ(label_sets_defect({{0}, {1, 2}}, 2), "label set 1 has class 2, but there are 2 classes");
  EXPECT_EQ(label_sets_defect({{-1}}, 2), "label set 0 has class -1, but there are 2 classes");
  EXPECT_EQ(label_sets_defect({{1, 0}}, 2), "the classes of label set 0 are not ascending: 1 0");
  EXPECT_EQ(label_sets_defect({{1, 1}}, 2), "the classes of label set 0 are not ascending: 1 1");
  EXPECT_EQ(label_sets_defect({{1}, {}, {1}}, 2), "label sets 0 and 2 are the same");
}

}  // namespace
}  // namespace ulmfit::data
