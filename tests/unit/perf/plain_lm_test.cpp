// The plain loop is a fair comparison only if it computes what our model computes.
#include "perf/plain_lm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ulmfit::perf {
namespace {

TEST(PlainLm, LearnsARepeatedBatchWithAllDropouts) {
  const model::Shape shape{50, 12, 16, 3};
  stages::OptimOptions optim;
  optim.lr = 0.02;
  PlainLm plain(shape, {}, optim, 2, 1, 4, 1, model::Precision::kFloat32, at::kCPU);
  const at::Tensor x = at::randint(50, {10, 4}, at::kLong);
  const at::Tensor y = at::randint(50, {10, 4}, at::kLong);
  const double first = plain.train_step(x, y);
  EXPECT_NEAR(first, std::log(50.0), 0.1);
  double last = first;
  for (int i = 0; i < 60; ++i) last = plain.train_step(x, y);
  EXPECT_LT(last, first - 0.3);
}

TEST(PlainLm, SameSeedSameLosses) {
  const model::Shape shape{50, 12, 16, 2};
  const at::Tensor x = at::randint(50, {10, 4}, at::kLong);
  const auto run = [&] {
    PlainLm plain(shape, {}, stages::OptimOptions(), 2, 1, 4, 7, model::Precision::kFloat32, at::kCPU);
    plain.train_step(x, x);
    return plain.train_step(x, x);
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace ulmfit::perf
