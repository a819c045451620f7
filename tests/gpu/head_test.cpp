// The blocked loss on the GPU is the plain one there.
#include <ATen/ATen.h>

#include "model/linear_cross_entropy.h"
#include "model/rounded_sums.h"
#include "stages/compute.h"
#include "tests/gpu/device.h"
#include "tests/support/model_checks.h"
#include "tests/support/plain_linear_cross_entropy.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::relative_difference;

class GpuHead : public test::DeviceTest {
 protected:
  // Loss and gradients, block by block or at once.
  std::vector<at::Tensor> run(std::int64_t rows, std::int64_t words, bool blocked, Precision precision) {
    const auto leaf = [&](std::int64_t number, at::IntArrayRef shape) {
      return closed_form(number, shape, 0.5).to(device_).requires_grad_(true);
    };
    const at::Tensor targets = at::arange(rows, at::kLong).mul(31).remainder(words).to(device_);
    const at::Tensor hidden = leaf(1, {rows, 40}), weight = leaf(2, {words, 40}), bias = leaf(3, {words});
    weight.mutable_grad() = at::zeros_like(weight);
    bias.mutable_grad() = at::zeros_like(bias);
    const double scale = 1.0 / static_cast<double>(rows);
    const at::Tensor loss = blocked ? linear_cross_entropy(hidden, weight, bias, targets, scale, precision).loss
                                    : test::plain_linear_cross_entropy(hidden, weight, bias, targets, scale).sum();
    loss.backward();
    return {loss, hidden.grad(), weight.grad(), bias.grad()};
  }

  void expect_equal(std::int64_t rows, std::int64_t words, Precision precision, double tolerance) {
    const auto found = run(rows, words, true, precision), expected = run(rows, words, false, precision);
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_LE(relative_difference(found[i], expected[i]), tolerance) << i;
  }
};

TEST_F(GpuHead, BlockedCrossEntropyIsThePlainOne) {
  stages::use_precision(stages::Arithmetic::kFp32, device_);
  expect_equal(1100, 777, Precision::kFloat32, 1e-5);                           // several blocks of the made-up device
  if (device_.is_cuda()) expect_equal(5000, 33278, Precision::kFloat32, 1e-5);  // and of any GPU
}

TEST_F(GpuHead, OfManyWordsAndRoundedIsNearThePlainOne) {
  stages::use_precision(stages::Arithmetic::kFp32, device_);
  expect_equal(40, 33278, Precision::kFloat32, 1e-5);
  expect_equal(1100, 777, Precision::kBfloat16, 2e-2);
  if (device_.is_cuda()) expect_equal(5000, 33278, Precision::kBfloat16, 2e-2);
}

// Without it a block's part of the weight's gradient is rounded to bfloat16 before it is added.
TEST_F(GpuHead, AddsProductsOfRoundedFactorsInFloat32) {
  if (device_.is_cpu()) GTEST_SKIP() << "CPUs add by add_rounded";
  const at::Tensor a = closed_form(1, {300, 70}, 0.5).to(device_).to(at::kBFloat16);
  const at::Tensor b = closed_form(2, {300, 40}, 0.5).to(device_).to(at::kBFloat16);
  const at::Tensor sum = closed_form(3, {70, 40}, 0.5).to(device_);
  const at::Tensor expected = sum + at::mm(a.t().to(at::kFloat), b.to(at::kFloat));
  EXPECT_TRUE(add_rounded_product(sum, a.t(), b));
  EXPECT_LE(relative_difference(sum, expected), 1e-5);
}

}  // namespace
}  // namespace ulmfit::model
