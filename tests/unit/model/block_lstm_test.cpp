#include "model/block_lstm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "model/block_kernels.h"
#include "tests/support/model_checks.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::relative_difference;
using test::same_bits;

struct Size {
  std::int64_t T, B, I, W;
};

struct Inputs {
  at::Tensor x, h, c, weight_ih, weight_hh, bias;
  std::vector<at::Tensor> all() const { return {x, h, c, weight_ih, weight_hh, bias}; }
};

// What the kernels round is rounded already.
Inputs inputs_of(const Size& size, bool requires_grad) {
  const auto make = [&](int number, at::IntArrayRef sizes, double scale) {
    return closed_form(number, sizes, scale).to(at::kBFloat16).to(at::kFloat).requires_grad_(requires_grad);
  };
  return {make(1, {size.T, size.B, size.I}, 1), make(2, {size.B, size.W}, 0.5),     make(3, {size.B, size.W}, 1),
          make(4, {4 * size.W, size.I}, 0.3),   make(5, {4 * size.W, size.W}, 0.3), make(6, {4 * size.W}, 0.5)};
}

LstmWindow plain(const Inputs& in) {
  const auto [output, h, c] =
      at::lstm(in.x, {in.h.unsqueeze(0), in.c.unsqueeze(0)}, {in.weight_ih, in.weight_hh, in.bias, at::zeros_like(in.bias)},
               /*has_biases=*/true, 1, 0.0, /*train=*/true, /*bidirectional=*/false, /*batch_first=*/false);
  return {output, h.squeeze(0), c.squeeze(0)};
}

// The window and, with gradients, those of a sum over all three results.
std::vector<at::Tensor> all_of(const std::function<LstmWindow(const Inputs&)>& layer, const Size& size, bool gradients) {
  const at::AutoGradMode mode(gradients);
  const Inputs in = inputs_of(size, gradients);
  const LstmWindow window = layer(in);
  std::vector<at::Tensor> found{window.output.detach(), window.h.detach(), window.c.detach()};
  if (!gradients) return found;
  const at::Tensor loss = (window.output * closed_form(7, window.output.sizes(), 1)).sum() +
                          (window.h * closed_form(8, window.h.sizes(), 1)).sum() +
                          (window.c * closed_form(9, window.c.sizes(), 1)).sum();
  loss.backward();
  for (const auto& t : in.all()) found.push_back(t.grad());
  return found;
}

class BlockLstmTest : public testing::TestWithParam<at::ScalarType> {
 protected:
  // Without the kernels the layer is never called: AwdLstm computes by at::lstm then.
  bool has_kernels() const { return has_block_kernels(GetParam()); }

  bool has_gradients() const { return GetParam() == at::kBFloat16; }

  std::function<LstmWindow(const Inputs&)> own = [this](const Inputs& in) {
    return block_lstm(in.x, in.h, in.c, in.weight_ih, in.weight_hh, in.bias,
                      pack_lstm_weights(GetParam(), in.weight_ih, in.weight_hh));
  };
};

INSTANTIATE_TEST_SUITE_P(Types, BlockLstmTest, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& type) { return std::string(c10::toString(type.param)); });

TEST_P(BlockLstmTest, IsThePlainLayerToItsRounding) {
  if (!has_kernels()) return;
  // Fewer units than a tile, tiles with a rest, rows with a rest, the first step alone.
  for (const Size& size :
       {Size{1, 1, 2, 2}, Size{5, 3, 6, 10}, Size{7, 70, 34, 32}, Size{9, 64, 20, 72}, Size{4, 127, 50, 98}}) {
    const auto found = all_of(own, size, has_gradients());
    const auto expected = all_of(plain, size, has_gradients());
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE(relative_difference(found[i], expected[i]), GetParam() == at::kFloat ? 3e-6 : 0.02)
          << "tensor " << i << ", T " << size.T << ", W " << size.W;
    }
  }
}

TEST(BlockLstm, WithoutGradientGivesTheSameBits) {
  if (!has_block_kernels(at::kBFloat16)) return;
  const Inputs in = inputs_of({6, 5, 12, 40}, true);
  const auto own = [&] {
    return block_lstm(in.x, in.h, in.c, in.weight_ih, in.weight_hh, in.bias,
                      pack_lstm_weights(at::kBFloat16, in.weight_ih, in.weight_hh));
  };
  const LstmWindow with = own();
  const at::NoGradGuard no_grad;
  const LstmWindow without = own();
  EXPECT_TRUE(same_bits(with.output, without.output));
  EXPECT_TRUE(same_bits(with.h, without.h));
  EXPECT_TRUE(same_bits(with.c, without.c));
}

TEST_P(BlockLstmTest, RowsThatOccurSeveralTimesGiveTheSameBits) {
  if (!has_kernels()) return;
  const at::NoGradGuard no_grad;
  for (const std::int64_t distinct : {1, 9, 130}) {
    const Inputs in = inputs_of({6, 70, 12, 100}, false);
    const at::Tensor rows = closed_form(10, {distinct, 12}, 1);
    const at::Tensor places = at::arange(6 * 70, at::kLong).mul_(37).remainder_(distinct).view({6, 70});
    const PackedLstmWeights packed = pack_lstm_weights(GetParam(), in.weight_ih, in.weight_hh);
    const LstmWindow found = block_lstm_of_rows(rows, places, in.h, in.c, in.bias, packed);
    const LstmWindow expected =
        block_lstm(at::embedding(rows, places), in.h, in.c, in.weight_ih, in.weight_hh, in.bias, packed);
    EXPECT_TRUE(same_bits(found.output, expected.output)) << distinct << " rows";
    EXPECT_TRUE(same_bits(found.h, expected.h)) << distinct << " rows";
    EXPECT_TRUE(same_bits(found.c, expected.c)) << distinct << " rows";
  }
}

TEST_P(BlockLstmTest, AnOutputForTheNextLayerGivesItTheSameBits) {
  if (!has_kernels()) return;
  const Inputs in = inputs_of({6, 5, 12, 100}, true);
  const Inputs above = inputs_of({6, 5, 100, 20}, true);
  {
    const at::NoGradGuard no_grad;
    const PackedLstmWeights packed = pack_lstm_weights(GetParam(), in.weight_ih, in.weight_hh);
    const PackedLstmWeights packed_above = pack_lstm_weights(GetParam(), above.weight_ih, above.weight_hh);
    const auto two_layers = [&](bool for_next_layer) {
      const LstmWindow first = block_lstm(in.x, in.h, in.c, in.weight_ih, in.weight_hh, in.bias, packed, for_next_layer);
      EXPECT_EQ(first.output.scalar_type(), for_next_layer ? GetParam() : at::kFloat);
      EXPECT_EQ(first.h.scalar_type(), at::kFloat);
      const LstmWindow again =
          block_lstm(in.x, first.h, first.c, in.weight_ih, in.weight_hh, in.bias, packed, for_next_layer);
      return block_lstm(again.output, above.h, above.c, above.weight_ih, above.weight_hh, above.bias, packed_above);
    };
    const LstmWindow rounded = two_layers(true), expected = two_layers(false);
    EXPECT_TRUE(same_bits(rounded.output, expected.output));
    EXPECT_TRUE(same_bits(rounded.h, expected.h));
    EXPECT_TRUE(same_bits(rounded.c, expected.c));
  }
  if (!has_gradients()) return;
  const PackedLstmWeights packed = pack_lstm_weights(GetParam(), in.weight_ih, in.weight_hh);
  EXPECT_THROW(block_lstm(in.x, in.h, in.c, in.weight_ih, in.weight_hh, in.bias, packed, true), c10::Error);
}

TEST_P(BlockLstmTest, OneThreadGivesTheSameBits) {
  if (!has_kernels()) return;
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = all_of(own, {6, 5, 12, 100}, has_gradients());
  at::set_num_threads(3);
  const auto three = all_of(own, {6, 5, 12, 100}, has_gradients());
  at::set_num_threads(before);
  // The gradients of x and of the weights are oneDNN's products.
  for (const std::size_t i : {0, 1, 2, 4, 5}) {
    if (i >= one.size()) break;
    EXPECT_TRUE(same_bits(one[i], three[i])) << i;
  }
}

TEST_P(BlockLstmTest, TwoWindowsAreOne) {
  if (!has_kernels()) return;
  const at::NoGradGuard no_grad;
  // So many columns that the input's products are made for some steps at a time, not for all.
  const Inputs in = inputs_of({13, 50, 12, 40}, false);
  const LstmWindow whole = own(in);
  Inputs part = in;
  part.x = in.x.narrow(0, 0, 3);
  const LstmWindow first = own(part);
  part.x = in.x.narrow(0, 3, 10);
  part.h = first.h;
  part.c = first.c;
  const LstmWindow second = own(part);
  EXPECT_TRUE(same_bits(at::cat({first.output, second.output}), whole.output));
  EXPECT_TRUE(same_bits(second.h, whole.h));
  EXPECT_TRUE(same_bits(second.c, whole.c));
}

// Each input alone, and each result alone: what is not asked for must not change what is.
TEST(BlockLstm, EachGradientAloneIsThatOfAll) {
  if (!has_block_kernels(at::kBFloat16)) return;
  const Size size{4, 3, 6, 10};
  const auto gradients = [&](LstmWindow (*layer)(const Inputs&), std::size_t result, std::size_t input) {
    const Inputs in = inputs_of(size, false);
    for (std::size_t i = 0; i < in.all().size(); ++i) in.all()[i].requires_grad_(input == 99 || i == input);
    const LstmWindow window = layer(in);
    const at::Tensor chosen = std::vector{window.output, window.h, window.c}[result];
    (chosen * closed_form(7, chosen.sizes(), 1)).sum().backward();
    std::vector<at::Tensor> found;
    for (const auto& t : in.all()) found.push_back(t.grad());
    return found;
  };
  const auto own = [](const Inputs& in) {
    return block_lstm(in.x, in.h, in.c, in.weight_ih, in.weight_hh, in.bias,
                      pack_lstm_weights(at::kBFloat16, in.weight_ih, in.weight_hh));
  };
  for (std::size_t result = 0; result < 3; ++result) {
    const auto expected = gradients(plain, result, 99);
    const auto all = gradients(own, result, 99);
    for (std::size_t input = 0; input < all.size(); ++input) {
      EXPECT_LE(relative_difference(all[input], expected[input]), 0.02) << result << ", " << input;
      const auto alone = gradients(own, result, input);
      for (std::size_t i = 0; i < all.size(); ++i) {
        ASSERT_EQ(alone[i].defined(), i == input) << result << ", " << input;
        if (i == input) {
          EXPECT_TRUE(same_bits(alone[i], all[i])) << result << ", " << input;
        }
      }
    }
  }
}

TEST(BlockLstm, GradientsFlowThroughTheStateOfTwoWindows) {
  if (!has_block_kernels(at::kBFloat16)) return;
  const Size size{8, 5, 12, 40};
  const auto gradients = [&](bool two) {
    const Inputs in = inputs_of(size, true);
    const PackedLstmWeights packed = pack_lstm_weights(at::kBFloat16, in.weight_ih, in.weight_hh);
    const auto layer = [&](const at::Tensor& x, const at::Tensor& h, const at::Tensor& c) {
      return block_lstm(x, h, c, in.weight_ih, in.weight_hh, in.bias, packed);
    };
    at::Tensor output;
    if (two) {
      const LstmWindow first = layer(in.x.narrow(0, 0, 3), in.h, in.c);
      output = at::cat({first.output, layer(in.x.narrow(0, 3, 5), first.h, first.c).output});
    } else {
      output = layer(in.x, in.h, in.c).output;
    }
    (output * closed_form(7, output.sizes(), 1)).sum().backward();
    std::vector<at::Tensor> found;
    for (const auto& t : in.all()) found.push_back(t.grad());
    return found;
  };
  const auto one = gradients(false);
  const auto two = gradients(true);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_LE(relative_difference(two[i], one[i]), 0.01) << i;
}

TEST_P(BlockLstmTest, TakesInputsOfAnyStrides) {
  if (!has_kernels()) return;
  const at::NoGradGuard no_grad;
  const Inputs in = inputs_of({6, 5, 12, 40}, false);
  Inputs turned = in;
  for (at::Tensor* t : {&turned.x, &turned.h, &turned.c, &turned.weight_ih, &turned.weight_hh}) {
    *t = t->transpose(0, 1).contiguous().transpose(0, 1);
  }
  EXPECT_TRUE(same_bits(own(in).output, own(turned).output));
}

TEST(BlockLstm, ShapesThatDoNotFitAreRefused) {
  if (!has_block_kernels(at::kBFloat16)) return;
  Inputs in = inputs_of({4, 3, 6, 10}, false);
  const PackedLstmWeights packed = pack_lstm_weights(at::kBFloat16, in.weight_ih, in.weight_hh);
  const auto layer = [&] { block_lstm(in.x, in.h, in.c, in.weight_ih, in.weight_hh, in.bias, packed); };
  in.x = at::zeros({0, 3, 6});
  EXPECT_THROW(layer(), c10::Error);
  in.x = at::zeros({4, 3, 8});
  EXPECT_THROW(layer(), c10::Error);
  in.x = at::zeros({4, 2, 6});
  EXPECT_THROW(layer(), c10::Error);
  in.x = at::zeros({4, 0, 6});
  in.h = in.c = at::zeros({0, 10});
  EXPECT_THROW(layer(), c10::Error);
}

TEST(BlockLstm, WhatItCannotDoIsLeftToThePlainLayer) {
  const auto has = [](at::ScalarType type, std::int64_t inputs, std::int64_t width) {
    return has_block_lstm(type, at::zeros({4 * width, inputs}), at::zeros({4 * width, width}));
  };
  EXPECT_FALSE(has(at::kBFloat16, 7, 10));
  EXPECT_FALSE(has(at::kBFloat16, 6, 5));
  EXPECT_EQ(has(at::kBFloat16, 6, 10), has_block_kernels(at::kBFloat16));
  EXPECT_FALSE(has(at::kFloat, 7, 5)) << "gradients are on";
  const at::NoGradGuard no_grad;
  EXPECT_EQ(has(at::kFloat, 7, 5), has_block_kernels(at::kFloat));
}

}  // namespace
}  // namespace ulmfit::model
