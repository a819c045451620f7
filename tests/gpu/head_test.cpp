// The blocked loss on the GPU is the plain one there.
#include <ATen/ATen.h>

#include "model/linear_cross_entropy.h"
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
  expect_equal(1100, 777, Precision::kFloat32, 1e-5);  // past two blocks
}

TEST_F(GpuHead, OfManyWordsAndRoundedIsNearThePlainOne) {
  stages::use_precision(stages::Arithmetic::kFp32, device_);
  expect_equal(40, 33278, Precision::kFloat32, 1e-5);
  expect_equal(1100, 777, Precision::kBfloat16, 2e-2);
}

}  // namespace
}  // namespace ulmfit::model
