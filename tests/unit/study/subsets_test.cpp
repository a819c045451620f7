#include "study/subsets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"

namespace ulmfit::study {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// `counts[c]` texts of class c, mixed.
struct Texts {
  explicit Texts(const std::vector<int>& counts) {
    const int most = *std::max_element(counts.begin(), counts.end());
    for (int i = 0; i < most; ++i) {
      for (std::size_t c = 0; c < counts.size(); ++c) {
        if (i >= counts[c]) continue;
        texts.push_back("text " + std::to_string(i) + " of class " + std::to_string(c));
        labels.push_back(static_cast<std::int32_t>(c));
      }
    }
    for (std::size_t c = 0; c < counts.size(); ++c) classes.push_back("class " + std::to_string(c));
  }
  std::map<std::int32_t, int> by_class(const std::vector<std::size_t>& numbers) const {
    std::map<std::int32_t, int> counts;
    for (const std::size_t t : numbers) ++counts[labels[t]];
    return counts;
  }
  std::vector<std::string> texts, classes;
  std::vector<std::int32_t> labels;
};

TEST(Validation, IsBalancedAndNoPartOfThePool) {
  const Texts all({200, 300, 500});
  const Draw draw = draw_validation(all.texts, all.labels, all.classes, 0.1, 0);
  EXPECT_EQ(all.by_class(draw.valid), (std::map<std::int32_t, int>{{0, 33}, {1, 33}, {2, 33}}));
  std::set<std::size_t> numbers(draw.valid.begin(), draw.valid.end());
  numbers.insert(draw.pool.begin(), draw.pool.end());
  EXPECT_EQ(numbers.size(), 1000U);
  EXPECT_EQ(draw.pool.size(), 901U);
  EXPECT_EQ(draw_validation(all.texts, all.labels, all.classes, 0.1, 0).valid, draw.valid);
  EXPECT_NE(draw_validation(all.texts, all.labels, all.classes, 0.1, 1).valid, draw.valid);
}

TEST(Validation, LeavesFourFifthsOfTheSmallestClass) {
  const Texts all({86, 1000, 1000});
  EXPECT_EQ(all.by_class(draw_validation(all.texts, all.labels, all.classes, 0.1, 0).valid),
            (std::map<std::int32_t, int>{{0, 17}, {1, 17}, {2, 17}}));
  const Texts few({2, 9});
  EXPECT_EQ(draw_validation(few.texts, few.labels, few.classes, 0.1, 0).valid.size(), 2U) << "one of each at least";
}

TEST(Validation, CopiesCountOnce) {
  Texts all({50, 50});
  const Texts copies = all;
  all.texts.insert(all.texts.end(), copies.texts.begin(), copies.texts.end());
  all.labels.insert(all.labels.end(), copies.labels.begin(), copies.labels.end());
  const Draw draw = draw_validation(all.texts, all.labels, all.classes, 0.2, 3);
  EXPECT_EQ(draw.valid.size() + draw.pool.size(), 100U);
  const Draw given = without_copies(all.texts, {all.texts[0], all.texts[7], "another"});
  EXPECT_EQ(given.pool.size(), 98U);
  EXPECT_TRUE(given.valid.empty());
}

TEST(Validation, AClassOfOneTextIsNamed) {
  Texts all({1, 10});
  EXPECT_THAT([&] { draw_validation(all.texts, all.labels, all.classes, 0.1, 0); },
              ThrowsMessage<DataError>(AllOf(HasSubstr("class 'class 0' has 1 text "), HasSubstr("--valid"))));
}

TEST(Subsets, AreBalancedAndLieWithinEachOther) {
  const Texts all({120, 90, 150, 101});
  std::vector<std::size_t> pool(all.texts.size());
  std::iota(pool.begin(), pool.end(), std::size_t{0});
  const std::vector<std::int64_t> sizes{4, 5, 10, 50, 51, 100, 333, 358};
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    std::vector<std::size_t> smaller;
    for (const std::int64_t size : sizes) {
      const auto subset = draw_subset(pool, all.labels, 4, size, seed);
      ASSERT_EQ(static_cast<std::int64_t>(subset.size()), size);
      EXPECT_EQ(std::set<std::size_t>(subset.begin(), subset.end()).size(), subset.size());
      const auto counts = all.by_class(subset);
      const auto [low, high] = std::minmax_element(counts.begin(), counts.end(),
                                                   [](const auto& a, const auto& b) { return a.second < b.second; });
      EXPECT_LE(high->second - low->second, 1) << size;
      EXPECT_EQ(counts.size(), 4U);
      EXPECT_TRUE(std::includes(subset.begin(), subset.end(), smaller.begin(), smaller.end())) << size;
      smaller = subset;
    }
  }
  EXPECT_NE(draw_subset(pool, all.labels, 4, 50, 1), draw_subset(pool, all.labels, 4, 50, 2));
}

TEST(Subsets, WhatIsLeftOverGoesToOtherClassesWithOtherSeeds) {
  std::set<std::vector<std::int64_t>> seen;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto counts = balanced_counts(11, 3, seed);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}), 11);
    seen.insert(counts);
  }
  EXPECT_EQ(seen.size(), 3U);
}

TEST(Subsets, TooFewTextsAreToldByClassWithTheMostThatThereIs) {
  const Texts all({69, 500, 500});
  std::vector<std::size_t> pool(all.texts.size());
  std::iota(pool.begin(), pool.end(), std::size_t{0});
  EXPECT_NO_THROW(check_subsets(pool, all.labels, all.classes, {3, 100, 207}, 4));
  EXPECT_THAT(
      [&] {
        check_subsets(pool, all.labels, all.classes, {100, 1000}, 1);
      },
      ThrowsMessage<DataError>(AllOf(HasSubstr("subset of 1000 labels: it takes 33"), HasSubstr("'class 0'"),
                                     HasSubstr("there are 69 of them"), HasSubstr("--labels of at most 207"))));
  EXPECT_THAT([&] { check_subsets(pool, all.labels, all.classes, {2}, 1); },
              ThrowsMessage<ConfigError>(HasSubstr("--labels=2: a balanced subset of 3 classes has 3 labels or more")));
}

}  // namespace
}  // namespace ulmfit::study
