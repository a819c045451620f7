#include "reports/chart_axis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ulmfit::reports {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

TEST(RoundTicks, AreRoundAndInside) {
  EXPECT_THAT(round_ticks({0, 5000}, 6), Pointwise(DoubleNear(1e-9), {0, 1000, 2000, 3000, 4000, 5000}));
  EXPECT_THAT(round_ticks({3.9, 4.4}, 6), Pointwise(DoubleNear(1e-9), {3.9, 4.0, 4.1, 4.2, 4.3, 4.4}));
  EXPECT_THAT(round_ticks({-1, 1}, 6), Pointwise(DoubleNear(1e-9), {-1.0, -0.5, 0.0, 0.5, 1.0}));
}

TEST(RoundTicks, NeverMoreThanAsked) {
  for (double high = 1e-7; high < 1e9; high *= 1.37) {
    for (const double low : {0.0, 0.3 * high, -high}) {
      const auto ticks = round_ticks({low, high}, 6);
      EXPECT_GE(ticks.size(), 2U) << low << " " << high;
      EXPECT_LE(ticks.size(), 6U) << low << " " << high;
      for (const double tick : ticks) EXPECT_TRUE(tick >= low - 1e-6 * high && tick <= high * (1 + 1e-6));
    }
  }
}

TEST(LogTicks, PowersAndTheirParts) {
  EXPECT_THAT(log_ticks({0.9, 60}, 7), Pointwise(DoubleNear(1e-9), {1, 2, 5, 10, 20, 50}));
  EXPECT_THAT(log_ticks({0.9, 1100}, 7), Pointwise(DoubleNear(1e-9), {1, 10, 100, 1000}));
  EXPECT_LE(log_ticks({1e-30, 1e30}, 7).size(), 7U);
}

TEST(TickLabels, HaveTheSameDecimals) {
  EXPECT_THAT(tick_labels({3.5, 4, 4.5}), ElementsAre("3.5", "4.0", "4.5"));
  EXPECT_THAT(tick_labels({0, 0.002, 0.004}), ElementsAre("0", "0.002", "0.004"));
  EXPECT_THAT(tick_labels({0, 1000, 2000}), ElementsAre("0", "1,000", "2,000"));
  EXPECT_THAT(tick_labels({0, 5000, 10000}), ElementsAre("0", "5k", "10k"));
  EXPECT_THAT(tick_labels({0, 500000, 1000000, 1500000}), ElementsAre("0", "0.5M", "1.0M", "1.5M"));
  EXPECT_THAT(tick_labels({0, 2e-5, 1.2e-4}), ElementsAre("0", "2e-5", "1.2e-4"));
}

TEST(TickLabels, OfALogarithmicAxis) {
  EXPECT_THAT(tick_labels({1e-5, 0.001, 0.1, 10, 1000, 100000}), ElementsAre("1e-5", "0.001", "0.1", "10", "1,000", "1e5"));
}

TEST(QuantileRange, LeavesOutOutliers) {
  std::vector<double> values;
  for (int i = 0; i <= 1000; ++i) values.push_back(i);
  values[500] = 1e9;
  EXPECT_EQ(quantile_range(values, 0.005, 0.995).low, 5);
  EXPECT_EQ(quantile_range(values, 0.005, 0.995).high, 996);
  EXPECT_EQ(quantile_range({7}, 0, 1).low, 7);
  EXPECT_EQ(quantile_range({}, 0, 1).high, 1);
}

TEST(Widened, ASingleValueGetsWidth) {
  for (const double value : {0.0, 5.0, -3.0, 1e-9}) {
    const Range range = widened({value, value}, 0.05);
    EXPECT_LT(range.low, value);
    EXPECT_GT(range.high, value);
  }
  EXPECT_DOUBLE_EQ(widened({0, 10}, 0.05).high, 10.5);
}

}  // namespace
}  // namespace ulmfit::reports
