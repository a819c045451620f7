#include "model/flat_weights.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "model/dropout.h"
#include "tests/support/model_checks.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::same_bits;

FlatWeights leaves() {
  return {closed_form(1, {12, 5}, 1).requires_grad_(true), closed_form(2, {12, 3}, 1).requires_grad_(true),
          closed_form(3, {12}, 1).requires_grad_(true), closed_form(4, {12}, 1).requires_grad_(true)};
}

std::vector<at::Tensor> all(const FlatWeights& w) { return {w.weight_ih, w.weight_hh, w.bias_ih, w.bias_hh}; }

const MaskKey kKey{7, 3, {}};
WeightMask some_draws() { return {draws_of_shared_mask(kKey, Purpose::kWeightDropout, 0), 0.4}; }
at::Tensor some_mask() { return shared_mask(kKey, Purpose::kWeightDropout, 0, 0.4, 12, 3); }

TEST(FlatWeights, LieOneBehindTheOther) {
  const FlatWeights given = leaves();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const std::vector<at::Tensor> flat = all(flat_weights(given, {}, type));
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < flat.size(); ++i) {
      EXPECT_EQ(flat[i].storage_offset(), offset);
      EXPECT_EQ(flat[i].storage().data(), flat[0].storage().data());
      EXPECT_TRUE(flat[i].is_contiguous());
      EXPECT_TRUE(same_bits(flat[i], all(given)[i].to(type)));
      offset += flat[i].numel();
    }
    EXPECT_EQ(static_cast<std::int64_t>(flat[0].storage().nbytes()), offset * flat[0].element_size());
  }
}

// An LSTM of them has the outputs and gradients of one of weights that lie anywhere, masked by drop_weights.
TEST(FlatWeights, ALayerOfThemIsThatOfTheOthers) {
  const at::Tensor x = closed_form(5, {4, 2, 5}, 1), zeros = at::zeros({1, 2, 3});
  const auto run = [&](const std::vector<at::Tensor>& weights, at::ScalarType type) {
    return std::get<0>(at::lstm(x.to(type), {zeros.to(type), zeros.to(type)}, weights, true, 1, 0.0, true, false, false));
  };
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const FlatWeights a = leaves(), b = leaves();
    const at::Tensor flat = run(all(flat_weights(a, some_draws(), type)), type);
    std::vector<at::Tensor> scattered = all(b);
    scattered[1] = drop_weights(scattered[1], some_mask());
    for (at::Tensor& t : scattered) t = t.to(type);
    const at::Tensor plain = run(scattered, type);
    const double rounding = type == at::kFloat ? 1e-6 : 1e-2;  // other alignments, other kernels
    EXPECT_LE(test::relative_difference(flat, plain), rounding);
    torch::autograd::backward({flat.to(at::kFloat).square().sum(), plain.to(at::kFloat).square().sum()}, {});
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_LE(test::relative_difference(all(a)[i].grad(), all(b)[i].grad()), rounding) << i;
    }
  }
}

TEST(FlatWeights, FrozenOnesGetNoGradient) {
  FlatWeights given = leaves();
  given.weight_hh.set_requires_grad(false);
  const FlatWeights flat = flat_weights(given, some_draws(), at::kFloat);
  torch::autograd::backward({flat.weight_ih.sum() + flat.weight_hh.sum()}, {});
  EXPECT_TRUE(same_bits(given.weight_ih.grad(), at::ones({12, 5})));
  EXPECT_FALSE(given.weight_hh.grad().defined());
}

}  // namespace
}  // namespace ulmfit::model
