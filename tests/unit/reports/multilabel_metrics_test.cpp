#include "reports/multilabel_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ulmfit::reports {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;

const data::LabelSets kOneClass{{}, {0}};
const data::LabelSets kSets{{}, {0}, {0, 1}, {1}};

// The threshold of one class, by its probability in each text and whether that has it.
double threshold(const std::vector<float>& probabilities, const std::vector<std::int32_t>& has) {
  const auto found = best_thresholds({probabilities, 1, has, kOneClass});
  EXPECT_EQ(found.size(), 1U);
  return found.at(0);
}

TEST(Thresholds, AreTheMiddleWhereF1IsHighest) {
  EXPECT_DOUBLE_EQ(threshold({0.125F, 0.25F, 0.375F, 0.0F}, {0, 1, 1, 0}), 0.1875);  // 2 of 2 for none at 0.5
  EXPECT_DOUBLE_EQ(threshold({0.875F, 0.625F, 0.75F, 0.5F}, {1, 0, 0, 0}), 0.8125);
  // F1 at 0.8125: 2/3; at 0.5625 and 0.5: 1/2; at 0.3125: 4/5.
  EXPECT_DOUBLE_EQ(threshold({0.875F, 0.75F, 0.375F, 0.25F}, {1, 0, 1, 0}), 0.3125);
}

TEST(Thresholds, OfSeveralAsGoodAreTheOneNearestAHalf) {
  EXPECT_EQ(threshold({0.25F, 0.875F}, {0, 1}), 0.5) << "rather than 0.5625";
  // F1 is 2/3 with the first text alone, at 0.75, and with the first four.
  EXPECT_EQ(threshold({0.9375F, 0.5625F, 0.5625F, 0.4375F, 0.0F}, {1, 0, 0, 1, 0}), 0.75) << "rather than 0.21875";
  EXPECT_EQ(threshold({0.9375F, 0.5625F, 0.5625F, 0.4375F, 0.3125F}, {1, 0, 0, 1, 0}), 0.375);
  EXPECT_EQ(threshold({0.9375F, 0.5625F, 0.5625F, 0.46875F, 0.03125F}, {1, 0, 0, 1, 0}), 0.25) << "the lower of two";
  EXPECT_DOUBLE_EQ(threshold({0.75F, 0.8125F, 0.875F, 0.9375F}, {1, 0, 0, 1}), 0.5);
}

TEST(Thresholds, OfAClassThatNoTextHasOrOfNoNumbersAreAHalf) {
  EXPECT_EQ(threshold({0.9F, 0.2F}, {0, 0}), 0.5);
  EXPECT_EQ(threshold({0.9F, std::numeric_limits<float>::quiet_NaN()}, {1, 0}), 0.5);
  EXPECT_EQ(threshold({0.25F, 0.25F}, {1, 1}), 0.5) << "nothing lies between them";
  EXPECT_EQ(threshold({}, {}), 0.5);
}

TEST(Thresholds, LieBetweenZeroAndOne) {
  const float least = std::numeric_limits<float>::denorm_min();
  EXPECT_GT(threshold({0.0F, least}, {0, 1}), 0);
  EXPECT_LT(threshold({1.0F, std::nextafter(1.0F, 0.0F)}, {1, 0}), 1);
}

TEST(Thresholds, BelongToTheirClass) {
  const std::vector<float> p{0.2F, 0.9F, 0.4F, 0.8F, 0.1F, 0.7F};
  const std::vector<std::int32_t> given{2, 1, 0};  // both, the first, none
  EXPECT_THAT(best_thresholds({p, 2, given, kSets}),
              ElementsAre(DoubleEq((double{p[0]} + double{p[4]}) / 2), DoubleEq((double{p[1]} + double{p[3]}) / 2)));
}

// Three texts: {0} answered {0}; {0, 1} answered {0}; {} answered {1}.
TEST(MultilabelMetrics, AreThoseOfTheDecisions) {
  const std::vector<float> p{0.75F, 0.25F, 0.5F, 0.125F, 0.25F, 0.5F};
  const std::vector<std::int32_t> given{1, 2, 0};
  const Multilabel decided = count_decisions({p, 2, given, kSets}, {"a", "b"}, {0.5, 0.5}, "test");
  EXPECT_EQ(decided.texts, 3);
  EXPECT_EQ(decided.whole, 1);
  EXPECT_EQ(decided.split, "test");
  const MultilabelMetrics m = multilabel_metrics(decided);
  EXPECT_DOUBLE_EQ(m.error, 2.0 / 6);
  EXPECT_DOUBLE_EQ(m.whole_accuracy, 1.0 / 3);
  EXPECT_DOUBLE_EQ(m.whole_interval.low, wilson_interval(1, 3).low);
  EXPECT_DOUBLE_EQ(m.micro_f1, 2.0 * 2 / (3 + 3));
  EXPECT_DOUBLE_EQ(m.macro_f1, (1.0 + 0) / 2);
  ASSERT_EQ(m.classes.size(), 2U);
  EXPECT_DOUBLE_EQ(m.classes[0].precision, 1);
  EXPECT_DOUBLE_EQ(m.classes[0].recall, 1);
  EXPECT_EQ(m.classes[1].support, 1);
  EXPECT_EQ(m.classes[1].predicted, 1);
  EXPECT_DOUBLE_EQ(m.classes[1].f1, 0);
}

TEST(MultilabelMetrics, AThresholdIsReachedByAnEqualProbability) {
  const std::vector<float> p{0.25F, 0.25F};
  const std::vector<std::int32_t> given{3};
  const Multilabel decided = count_decisions({p, 2, given, kSets}, {"a", "b"}, {0.26, 0.25}, "test");
  EXPECT_EQ(decided.whole, 1);
}

TEST(MultilabelMetrics, AreFiniteWithoutAnyLabel) {
  const std::vector<float> p{0.25F, 0.25F};
  const std::vector<std::int32_t> given{0};
  const MultilabelMetrics m = multilabel_metrics(count_decisions({p, 2, given, kSets}, {"a", "b"}, {0.5, 0.5}, "valid"));
  EXPECT_EQ(m.error, 0);
  EXPECT_EQ(m.micro_f1, 0);
  EXPECT_EQ(m.macro_f1, 0);
}

}  // namespace
}  // namespace ulmfit::reports
