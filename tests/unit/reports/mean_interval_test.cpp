#include "reports/mean_interval.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <stdexcept>

namespace ulmfit::reports {
namespace {

// Closed forms: Cauchy's distribution with one degree of freedom; with two 1/2 + t / (2 sqrt(2 + t^2)); with four
// 1/2 + 3/8 s (1 - s^2 / 12), s = t / sqrt(1 + t^2 / 4).
TEST(StudentCdf, IsTheClosedFormOfFewDegrees) {
  for (const double t : {-30.0, -2.5, -0.1, 0.0, 0.3, 1.0, 4.0, 100.0}) {
    EXPECT_NEAR(student_cdf(t, 1), 0.5 + std::atan(t) / std::numbers::pi, 1e-14) << t;
    EXPECT_NEAR(student_cdf(t, 2), 0.5 + t / (2 * std::sqrt(2 + t * t)), 1e-14) << t;
    const double s = t / std::sqrt(1 + t * t / 4);
    EXPECT_NEAR(student_cdf(t, 4), 0.5 + 0.375 * s * (1 - s * s / 12), 1e-14) << t;
  }
}

TEST(StudentCdf, BecomesTheNormalDistribution) {
  for (const double t : {-1.5, 0.7, 2.0}) {
    EXPECT_NEAR(student_cdf(t, 100000), 0.5 * std::erfc(-t / std::numbers::sqrt2), 1e-5);
    EXPECT_NEAR(student_cdf(t, 100001), 0.5 * std::erfc(-t / std::numbers::sqrt2), 1e-5);
  }
  EXPECT_THROW(student_cdf(1, 0), std::invalid_argument);
}

TEST(StudentT95, IsTheTableOfTextbooks) {
  EXPECT_NEAR(student_t95(1), std::tan(0.475 * std::numbers::pi), 1e-9);
  EXPECT_NEAR(student_t95(2), 0.95 * std::sqrt(2 / (1 - 0.95 * 0.95)), 1e-9);
  EXPECT_NEAR(student_t95(3), 3.18245, 1e-5);
  EXPECT_NEAR(student_t95(4), 2.77645, 1e-5);
  EXPECT_NEAR(student_t95(9), 2.26216, 1e-5);
  EXPECT_NEAR(student_t95(30), 2.04227, 1e-5);
}

TEST(MeanInterval, OfThreeValues) {
  const MeanInterval m = mean_interval({0.1, 0.2, 0.3});
  EXPECT_DOUBLE_EQ(m.mean, 0.2);
  EXPECT_NEAR(m.spread, 0.1, 1e-15);
  const double reach = 0.95 * std::sqrt(2 / (1 - 0.95 * 0.95)) * 0.1 / std::sqrt(3);
  EXPECT_NEAR(m.interval.low, 0.2 - reach, 1e-9);
  EXPECT_NEAR(m.interval.high, 0.2 + reach, 1e-9);
}

TEST(MeanInterval, OneValueHasNoSpreadAndNoneNoMean) {
  const MeanInterval one = mean_interval({0.25});
  EXPECT_EQ(one.mean, 0.25);
  EXPECT_EQ(one.spread, 0);
  EXPECT_EQ(one.interval.low, 0.25);
  EXPECT_EQ(one.interval.high, 0.25);
  EXPECT_TRUE(std::isnan(mean_interval({}).mean));
  const MeanInterval same = mean_interval({0.5, 0.5, 0.5});
  EXPECT_EQ(same.interval.low, 0.5);
  EXPECT_EQ(same.interval.high, 0.5);
}

}  // namespace
}  // namespace ulmfit::reports
