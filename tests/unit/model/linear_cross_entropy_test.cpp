#include "model/linear_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "tests/support/model_checks.h"
#include "tests/support/plain_linear_cross_entropy.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::relative_difference;

struct Case {
  std::int64_t N, V, E;
  double spread = 1;  // of the logits, about
  double scale = 1;
  std::int64_t ignore = 0;  // every ignore-th row; 0: none
};

struct Inputs {
  at::Tensor hidden, weight, bias, targets;
};

Inputs make_inputs(const Case& c) {
  at::Tensor targets = at::empty({c.N}, at::kLong);
  for (std::int64_t i = 0; i < c.N; ++i) {
    targets.mutable_data_ptr<std::int64_t>()[i] = c.ignore > 0 && i % c.ignore == 0 ? -1 : (i * 7919 + 5) % c.V;
  }
  Inputs in{closed_form(1, {c.N, c.E}, c.spread), closed_form(2, {c.V, c.E}, 1), closed_form(3, {c.V}, c.spread), targets};
  for (const auto& t : {in.hidden, in.weight, in.bias}) {
    t.set_requires_grad(true);
    t.mutable_grad() = at::zeros_like(t);
  }
  return in;
}

struct Result {
  double loss, nats;
  at::Tensor hidden, weight, bias;  // gradients
};

Result blocked(const Case& c) {
  const Inputs in = make_inputs(c);
  const CrossEntropy ce = linear_cross_entropy(in.hidden, in.weight, in.bias, in.targets, c.scale);
  torch::autograd::backward({ce.loss}, {});
  return {ce.loss.item<double>(), ce.nats.item<double>(), in.hidden.grad(), in.weight.grad(), in.bias.grad()};
}

// In float64: float32 rounds both ways of computing, by different amounts.
Result plain(const Case& c) {
  const Inputs in = make_inputs(c);
  const auto wide = [](const at::Tensor& t) { return t.detach().to(at::kDouble).set_requires_grad(true); };
  const at::Tensor hidden = wide(in.hidden), weight = wide(in.weight), bias = wide(in.bias);
  const at::Tensor loss = test::plain_linear_cross_entropy(hidden, weight, bias, in.targets, c.scale);
  torch::autograd::backward({loss}, {});
  return {loss.item<double>(), loss.item<double>() / c.scale, hidden.grad(), weight.grad(), bias.grad()};
}

// Float32 rounds in logits of up to c.spread * E / 2 and in sums over N rows.
TEST(LinearCrossEntropy, IsThePlainWayOnManyShapes) {
  for (const Case& c : std::vector<Case>{{1, 10, 4},
                                         {1, 40000, 8},
                                         {3, 11, 5, 1, 0.25},
                                         {64, 1000, 16},
                                         {65, 1000, 16, 1, 1, 3},
                                         {200, 40000, 4, 1, 1e-3, 7},
                                         {700, 10000, 4, 1, 1, 2},
                                         {2000, 3300, 3, 2, 0.5},
                                         {40, 300, 20, 8},
                                         {5, 50, 6, 1, 1, 1}}) {
    SCOPED_TRACE(str("N ", c.N, ", V ", c.V, ", E ", c.E, ", spread ", c.spread, ", scale ", c.scale));
    const Result a = blocked(c);
    const Result b = plain(c);
    EXPECT_NEAR(a.loss, b.loss, 2e-6 * std::fabs(b.loss));
    EXPECT_NEAR(a.nats * c.scale, a.loss, 1e-7 * std::fabs(a.loss));
    EXPECT_LT(relative_difference(a.hidden, b.hidden), 2e-5);
    EXPECT_LT(relative_difference(a.weight, b.weight), 2e-5);
    EXPECT_LT(relative_difference(a.bias, b.bias), 2e-5);
  }
}

// Hidden of about 27 times a weight row of 1 times E = 6 / 2: logits of about +-80.
TEST(LinearCrossEntropy, HoldsForLargeLogits) {
  const Case c{30, 2000, 6, 27, 0.1, 4};
  const Result a = blocked(c);
  const Result b = plain(c);
  EXPECT_NEAR(a.loss, b.loss, 1e-5 * b.loss);
  EXPECT_LT(relative_difference(a.hidden, b.hidden), 1e-4);
  EXPECT_LT(relative_difference(a.weight, b.weight), 1e-4);
  EXPECT_LT(relative_difference(a.bias, b.bias), 1e-4);
}

TEST(LinearCrossEntropy, GradientsAreFiniteDifferences) {
  const Case c{6, 13, 4, 1, 0.7, 5};
  const Inputs in = make_inputs(c);
  torch::autograd::backward({linear_cross_entropy(in.hidden, in.weight, in.bias, in.targets, c.scale).loss}, {});
  const auto loss = [&] {
    return c.scale * linear_cross_entropy(in.hidden, in.weight, in.bias, in.targets, 1).nats.item<double>();
  };
  for (const auto& t : {in.hidden, in.weight, in.bias}) {
    EXPECT_LT(relative_difference(t.grad(), test::finite_differences(t.detach(), 1e-2, loss)), 1e-3);
  }
}

TEST(LinearCrossEntropy, WeightAndBiasGradientsAreAddedToWhatIsThere) {
  const Case c{50, 30, 4};
  const Result once = blocked(c);
  const Inputs in = make_inputs(c);
  in.weight.mutable_grad().fill_(3);
  in.bias.mutable_grad().fill_(-2);
  torch::autograd::backward({linear_cross_entropy(in.hidden, in.weight, in.bias, in.targets, c.scale).loss}, {});
  EXPECT_LT(relative_difference(in.weight.grad(), once.weight + 3), 1e-5);
  EXPECT_LT(relative_difference(in.bias.grad(), once.bias - 2), 1e-5);
  EXPECT_TRUE(test::same_bits(in.hidden.grad(), once.hidden));
}

TEST(LinearCrossEntropy, WithoutGradientModeNoneIsMade) {
  const Inputs in = make_inputs({50, 30, 4});
  const double wanted = linear_cross_entropy(in.hidden, in.weight, in.bias, in.targets, 1).nats.item<double>();
  in.weight.mutable_grad().zero_();
  in.bias.mutable_grad().zero_();
  at::NoGradGuard no_grad;
  const CrossEntropy ce = linear_cross_entropy(in.hidden, in.weight, in.bias, in.targets, 1);
  EXPECT_FALSE(ce.loss.requires_grad());
  EXPECT_EQ(ce.nats.item<double>(), wanted);
  EXPECT_EQ(in.weight.grad().count_nonzero().item<std::int64_t>(), 0);
  EXPECT_EQ(in.bias.grad().count_nonzero().item<std::int64_t>(), 0);
}

TEST(LinearCrossEntropy, AFrozenHeadGetsNoGradientAndPassesItsOnToTheHidden) {
  const Inputs in = make_inputs({50, 30, 4});
  in.weight.set_requires_grad(false);
  in.bias.set_requires_grad(false);
  in.weight.mutable_grad().reset();
  in.bias.mutable_grad().reset();
  torch::autograd::backward({linear_cross_entropy(in.hidden, in.weight, in.bias, in.targets, 1).loss}, {});
  EXPECT_FALSE(in.weight.grad().defined());
  EXPECT_FALSE(in.bias.grad().defined());
  EXPECT_TRUE(test::same_bits(in.hidden.grad(), blocked({50, 30, 4}).hidden));
}

TEST(LinearCrossEntropy, AHeadAloneTrainsOnHiddenStatesWithoutGraph) {
  const Inputs in = make_inputs({50, 30, 4});
  torch::autograd::backward({linear_cross_entropy(in.hidden.detach(), in.weight, in.bias, in.targets, 1).loss}, {});
  EXPECT_TRUE(test::same_bits(in.weight.grad(), blocked({50, 30, 4}).weight));
}

TEST(LinearCrossEntropy, MissingGradientBuffersAreNamed) {
  const Inputs in = make_inputs({5, 30, 4});
  in.weight.mutable_grad().reset();
  try {
    linear_cross_entropy(in.hidden, in.weight, in.bias, in.targets, 1);
    FAIL() << "no error";
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find("gradient buffers of weight and bias must exist"), std::string::npos);
  }
}

TEST(LinearCrossEntropy, ATargetOutsideTheVocabularyIsRefused) {
  const Inputs in = make_inputs({5, 30, 4});
  in.targets[2] = 30;
  try {
    linear_cross_entropy(in.hidden, in.weight, in.bias, in.targets, 1);
    FAIL() << "no error";
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find("a target lies outside the 30 words"), std::string::npos);
  }
}

TEST(LinearCrossEntropy, StridedHiddenAndNoRowsAtAll) {
  const Inputs in = make_inputs({20, 30, 4});
  const at::Tensor wide = at::cat({in.hidden.detach(), in.hidden.detach()}, 1);
  const double nats = linear_cross_entropy(wide.narrow(1, 0, 4), in.weight, in.bias, in.targets, 1).nats.item<double>();
  EXPECT_EQ(nats, blocked({20, 30, 4}).nats);
  EXPECT_EQ(linear_cross_entropy(in.hidden.narrow(0, 0, 0), in.weight, in.bias, in.targets.narrow(0, 0, 0), 1)
                .nats.item<double>(),
            0);
}

TEST(LinearCrossEntropy, OneAndTwoThreadsGiveTheSameBits) {
  const int before = at::get_num_threads();
  for (const Case& c : std::vector<Case>{{70, 3000, 20, 1, 1, 3}, {560, 12000, 40}, {33, 33278, 400}}) {
    SCOPED_TRACE(str("N ", c.N, ", V ", c.V));
    at::set_num_threads(1);
    const Result one = blocked(c);
    at::set_num_threads(2);
    const Result two = blocked(c);
    EXPECT_EQ(one.nats, two.nats);
    EXPECT_TRUE(test::same_bits(one.hidden, two.hidden));
    EXPECT_TRUE(test::same_bits(one.weight, two.weight));
    EXPECT_TRUE(test::same_bits(one.bias, two.bias));
  }
  at::set_num_threads(before);
}

TEST(LinearCrossEntropy, InBfloat16IsThePlainOneToItsRounding) {
  const std::int64_t rows = 1500, words = 5000;  // past one block of rows and two of words
  const auto run = [&](bool rounded) {
    at::Tensor hidden = test::closed_form(1, {rows, 24}, 0.7).requires_grad_(true);
    at::Tensor weight = test::closed_form(2, {words, 24}, 0.7).requires_grad_(true);
    at::Tensor bias = test::closed_form(3, {words}, 0.3).requires_grad_(true);
    weight.mutable_grad() = test::closed_form(4, {words, 24}, 1e-4);  // what other passes have left there stays
    bias.mutable_grad() = test::closed_form(5, {words}, 1e-4);
    at::Tensor targets = at::arange(rows, at::kLong).mul(17).remainder(words);
    targets.masked_fill_(targets.remainder(7).eq(3), -1);
    const CrossEntropy ce = linear_cross_entropy(hidden, weight, bias, targets, 1.0 / static_cast<double>(rows),
                                                 rounded ? Precision::kBfloat16 : Precision::kFloat32);
    ce.loss.backward();
    return std::vector<at::Tensor>{ce.loss.detach(), hidden.grad(), weight.grad(), bias.grad()};
  };
  const auto found = run(true);
  const auto expected = run(false);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = test::relative_difference(found[i], expected[i]);
    EXPECT_LE(difference, 0.02) << i;
    EXPECT_GT(difference, 0) << i << " was not rounded";
    EXPECT_EQ(found[i].scalar_type(), at::kFloat) << i;
  }
}

}  // namespace
}  // namespace ulmfit::model
