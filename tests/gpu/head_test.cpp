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

class GpuHead : public test::DeviceTest {};

TEST_F(GpuHead, BlockedCrossEntropyIsThePlainOne) {
  stages::use_precision(stages::Arithmetic::kFp32, device_);
  constexpr std::int64_t kRows = 1100;  // past two blocks
  constexpr std::int64_t kWords = 777;
  const auto leaf = [&](std::int64_t number, at::IntArrayRef shape) {
    return closed_form(number, shape, 0.5).to(device_).requires_grad_(true);
  };
  const at::Tensor targets = at::arange(kRows, at::kLong).mul(31).remainder(kWords).to(device_);
  const auto run = [&](bool blocked) {
    const at::Tensor hidden = leaf(1, {kRows, 40});
    const at::Tensor weight = leaf(2, {kWords, 40});
    const at::Tensor bias = leaf(3, {kWords});
    weight.mutable_grad() = at::zeros_like(weight);
    bias.mutable_grad() = at::zeros_like(bias);
    const at::Tensor loss = blocked ? linear_cross_entropy(hidden, weight, bias, targets, 1.0 / kRows).loss
                                    : test::plain_linear_cross_entropy(hidden, weight, bias, targets, 1.0 / kRows).sum();
    loss.backward();
    return std::vector<at::Tensor>{loss, hidden.grad(), weight.grad(), bias.grad()};
  };
  const auto found = run(true);
  const auto expected = run(false);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_LE(relative_difference(found[i], expected[i]), 1e-5) << i;
}

}  // namespace
}  // namespace ulmfit::model
