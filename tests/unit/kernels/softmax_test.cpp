#include "kernels/softmax.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/host_kernels.h"
#include "tests/support/model_checks.h"

namespace ulmfit::kernels {
namespace {

using test::closed_form;

struct Inputs {
  at::Tensor logits, bias, targets;
};

Inputs some_inputs(std::int64_t rows, std::int64_t columns, double size) {
  Inputs in{closed_form(1, {rows, columns}, size), closed_form(2, {columns}, 1), at::empty({rows}, at::kLong)};
  for (std::int64_t r = 0; r < rows; ++r) in.targets[r] = r % 5 == 4 ? -1 : (r * 37) % columns;
  return in;
}

struct Expected {
  at::Tensor losses, gradient;
};

// In double.
Expected expected(const Inputs& in, double scale) {
  const at::Tensor valid = in.targets.ge(0), index = in.targets.clamp_min(0).unsqueeze(1);
  const at::Tensor log_share = at::log_softmax(in.logits.to(at::kDouble) + in.bias.to(at::kDouble), 1);
  at::Tensor gradient = log_share.exp();
  gradient.scatter_add_(1, index, at::full_like(index, -1.0, gradient.options()));
  gradient.mul_(valid.to(at::kDouble).mul_(scale).unsqueeze(1));
  return {log_share.gather(1, index).squeeze(1).neg() * valid, gradient};
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

TEST(RowLosses, AreThoseOfDouble) {
  test::HostLauncher launcher;
  for (const std::int64_t columns : {1, 2, 255, 256, 257, 3001}) {
    for (const double size : {1.0, 80.0}) {
      const Inputs in = some_inputs(columns == 257 ? 130 : 7, columns, size);  // up to three groups of rows
      const Expected wanted = expected(in, 0.25);
      const at::Tensor block = in.logits.clone();
      const RowLosses found = row_losses(launcher, block, in.bias, in.targets, 0.25, true);
      EXPECT_LE(largest_difference(found.losses, wanted.losses), 2e-6 * (1 + size)) << columns;
      EXPECT_LE(largest_difference(block, wanted.gradient), 1e-6 * (1 + size)) << columns;
      EXPECT_LE(largest_difference(found.bias_sums, block.to(at::kDouble).sum(0)), 1e-5) << columns;
      const at::Tensor untouched = in.logits.clone();
      const RowLosses alone = row_losses(launcher, untouched, in.bias, in.targets, 0.25, false);
      EXPECT_TRUE(test::same_bits(alone.losses, found.losses));
      EXPECT_TRUE(test::same_bits(untouched, in.logits));
      EXPECT_FALSE(alone.bias_sums.defined());
    }
  }
}

TEST(RowLosses, OfRoundedLogitsWriteRoundedGradients) {
  test::HostLauncher launcher;
  Inputs in = some_inputs(65, 700, 3);
  in.logits = in.logits.to(at::kBFloat16);
  const Expected wanted = expected(in, 1);
  const RowLosses found = row_losses(launcher, in.logits, in.bias, in.targets, 1, true);
  EXPECT_LE(largest_difference(found.losses, wanted.losses), 1e-5);
  const at::Tensor difference = (in.logits.to(at::kDouble) - wanted.gradient).abs();
  EXPECT_TRUE(difference.le(wanted.gradient.abs() / 256 + 1e-6).all().item<bool>());
  EXPECT_LE(largest_difference(found.bias_sums, in.logits.to(at::kDouble).sum(0)), 1e-5) << "what was written is added up";
}

TEST(RowLosses, ATargetBesideTheColumnsIsSeen) {
  test::HostLauncher launcher;
  const at::Tensor losses =
      row_losses(launcher, at::zeros({3, 10}), at::zeros({10}), at::tensor({9, 10, -1}, at::kLong), 1, false).losses;
  EXPECT_NEAR(losses[0].item<float>(), std::log(10.0F), 1e-6);
  EXPECT_TRUE(std::isnan(losses[1].item<float>()));
  EXPECT_EQ(losses[2].item<float>(), 0);
}

TEST(RowLosses, WhatIsNotFiniteStaysSo) {
  test::HostLauncher launcher;
  for (const bool gradient : {false, true}) {
    for (const float bad : {NAN, INFINITY}) {
      at::Tensor logits = at::zeros({2, 500});
      logits[0][300] = bad;
      const at::Tensor losses =
          row_losses(launcher, logits, at::zeros({500}), at::zeros({2}, at::kLong), 1, gradient).losses;
      EXPECT_FALSE(std::isfinite(losses[0].item<float>()));
      EXPECT_NEAR(losses[1].item<float>(), std::log(500.0F), 1e-5) << "the other row";
      EXPECT_EQ(gradient && at::isfinite(logits[0]).all().item<bool>(), false);
    }
    at::Tensor none = at::full({1, 500}, -INFINITY);
    EXPECT_FALSE(std::isfinite(
        row_losses(launcher, none, at::zeros({500}), at::zeros({1}, at::kLong), 1, gradient).losses.item<float>()));
  }
}

// The sums over a block's threads need barriers: what the tests above would see if there were none.
TEST(RowLosses, NeedBarriers) {
  test::HostLauncher launcher;
  launcher.without_barriers = true;
  const Inputs in = some_inputs(8, 3001, 1);
  const at::Tensor losses = row_losses(launcher, in.logits.clone(), in.bias, in.targets, 1, false).losses;
  EXPECT_FALSE(at::allclose(losses.to(at::kDouble), expected(in, 1).losses, 1e-4, 1e-4));
}

TEST(RowLosses, RefuseTensorsThatDoNotFit) {
  test::HostLauncher launcher;
  const at::Tensor logits = at::zeros({2, 5}), bias = at::zeros({5}), targets = at::zeros({2}, at::kLong);
  EXPECT_THROW(row_losses(launcher, logits, bias, at::zeros({3}, at::kLong), 1, false), c10::Error);
  EXPECT_THROW(row_losses(launcher, logits, at::zeros({4}), targets, 1, false), c10::Error);
  EXPECT_THROW(row_losses(launcher, logits.to(at::kDouble), bias, targets, 1, false), c10::Error);
  EXPECT_THROW(row_losses(launcher, at::zeros({5, 2}).t(), bias, targets, 1, false), c10::Error);
}

}  // namespace
}  // namespace ulmfit::kernels
