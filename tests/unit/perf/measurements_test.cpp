#include "perf/measurements.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace ulmfit::perf {
namespace {

TEST(Figures, MedianAndSpread) {
  const Spread odd = spread({3, 1, 2});
  EXPECT_EQ(odd.median, 2);
  EXPECT_EQ(odd.lowest, 1);
  EXPECT_EQ(odd.highest, 3);
  EXPECT_EQ(spread({4, 1, 2, 3}).median, 2.5);
  EXPECT_EQ(spread({7}).median, 7);
}

TEST(Figures, RatiosAreTakenBlockByBlock) {
  // Both fell to a third in the second block: the ratio did not move.
  const Spread ratio = ratio_spread({30, 10, 30}, {20, 20.0 / 3, 20});
  EXPECT_DOUBLE_EQ(ratio.lowest, 1.5);
  EXPECT_DOUBLE_EQ(ratio.highest, 1.5);
}

TEST(Figures, ArithmeticOfThePaperModel) {
  // performance: 20.25 M LSTM weights and 60,000 x 400 of the head are 265.5 MFLOP a training token.
  const model::Shape shape{60000, 400, 1152, 3};
  EXPECT_NEAR(lm_training_flop(shape), 265.5e6, 0.1e6);
  EXPECT_NEAR(encoder_training_flop(shape), 121.5e6, 0.1e6);
}

TEST(Figures, PeakIsPositiveAndFinite) {
  const double peak = product_peak(at::kCPU, at::kFloat);
  EXPECT_GT(peak, 1e8);
  EXPECT_LT(peak, 1e15);
}

TEST(Figures, JsonHasTheSpread) {
  nlohmann::json line;
  add_spread(line, "docs_per_s", {2, 1, 3});
  EXPECT_EQ(line, nlohmann::json({{"docs_per_s", 2.0}, {"docs_per_s_lowest", 1.0}, {"docs_per_s_highest", 3.0}}));
}

}  // namespace
}  // namespace ulmfit::perf
