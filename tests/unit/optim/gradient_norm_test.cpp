#include "optim/gradient_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace ulmfit::optim {
namespace {

// Values from -3 to 3 that are whole 64ths: sums of their squares are exact in a double in any order.
at::Tensor exact_values(std::int64_t n) { return (at::arange(n, at::kFloat) * 37).remainder(385).sub(192) / 64; }

double norm_of(const std::vector<at::Tensor>& gradients) { return global_norm(gradients).item<double>(); }

TEST(GlobalNorm, IsTheNormOverAllTensors) {
  EXPECT_EQ(norm_of({}), 0.0);
  EXPECT_EQ(norm_of({at::full({1}, 3.0F), at::zeros({0}), at::full({1, 1}, -4.0F)}), 5.0);
  for (const std::int64_t n : {1, 15, 16, 17, 31, 33, 1000, 100003}) {
    const at::Tensor x = exact_values(n);
    const double expected = std::sqrt(x.to(at::kDouble).square().sum().item<double>());
    EXPECT_EQ(norm_of({x}), expected) << n;
    EXPECT_EQ(norm_of({x.to(at::kDouble)}), expected) << n;
  }
}

TEST(GlobalNorm, AccumulatesInFloat64) {
  // In float32 the square of 1e30 overflows, and 1 + 1e-8 is 1.
  EXPECT_DOUBLE_EQ(norm_of({at::full({4}, 1e30F)}), 2.0 * static_cast<double>(1e30F));
  EXPECT_GT(norm_of({at::full({1}, 1.0F), at::full({1}, 1e-4F)}), 1.0);
}

TEST(GlobalNorm, ReadsViewsByTheirElements) {
  const at::Tensor x = exact_values(120).view({10, 12});
  EXPECT_EQ(norm_of({x.t()}), norm_of({x.t().contiguous()}));
  EXPECT_EQ(norm_of({x.slice(1, 0, 12, 3)}), norm_of({x.slice(1, 0, 12, 3).contiguous()}));
}

TEST(GlobalNorm, IsTheSameForAnyNumberOfThreads) {
  const at::Tensor x = at::sin(at::arange(300007, at::kFloat) * 0.37F);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const double one = norm_of({x, x * 0.3F});
  at::set_num_threads(2);
  const double two = norm_of({x, x * 0.3F});
  at::set_num_threads(threads);
  EXPECT_EQ(one, two);
}

TEST(GlobalNorm, ShowsWhatIsNotFinite) {
  EXPECT_TRUE(std::isnan(norm_of({at::full({20}, std::numeric_limits<float>::quiet_NaN())})));
  EXPECT_TRUE(std::isinf(norm_of({at::full({20}, std::numeric_limits<float>::infinity())})));
}

TEST(GlobalNorm, RefusesOtherTypes) { EXPECT_THROW(norm_of({at::zeros({2}, at::kHalf)}), std::invalid_argument); }

TEST(Clip, ScalesToTheMaximumAndOnlyDown) {
  std::vector<at::Tensor> gradients = {at::full({1}, 3.0F), at::full({1}, -4.0F)};
  clip_(gradients, 5.0, 5.0);
  EXPECT_EQ(gradients[0].item<float>(), 3.0F);
  clip_(gradients, 5.0, 2.5);
  EXPECT_EQ(gradients[0].item<float>(), 1.5F);
  EXPECT_EQ(gradients[1].item<float>(), -2.0F);
  clip_({}, 0.0, 1.0);
}

}  // namespace
}  // namespace ulmfit::optim
