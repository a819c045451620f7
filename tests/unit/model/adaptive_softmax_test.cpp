#include "model/adaptive_softmax.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/support/model_checks.h"
#include "tests/support/plain_linear_cross_entropy.h"
#include "tests/unit/model/softmax_checks.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::LossAndGradients;
using test::relative_difference;

struct Case {
  std::int64_t N, V, E;
  std::vector<std::int64_t> cutoffs;
  double spread = 1;  // of the logits, about
  double scale = 1;
  std::int64_t ignore = 0;  // every ignore-th row; 0: none
};

// A head with weights in closed form; its gradients are zeros.
struct Made {
  explicit Made(const Case& c)
      : encoder({.vocabulary = c.V, .embedding = c.E, .hidden = 2, .layers = 1}, 1, at::kCPU), head(encoder, c.cutoffs) {
    const at::NoGradGuard no_grad;
    at::Tensor(head.weight()).copy_(closed_form(2, {c.V, c.E}, 1));
    std::int64_t number = 3;
    for (const auto& p : head.parameters()) {
      at::Tensor(p.tensor).copy_(closed_form(number++, p.tensor.sizes(), c.spread));
      p.tensor.mutable_grad() = at::zeros_like(p.tensor);
    }
    head.weight().mutable_grad() = at::zeros_like(head.weight());
    hidden = closed_form(1, {c.N, c.E}, c.spread).set_requires_grad(true);
    targets = at::arange(c.N, at::kLong).mul(7919).add(5).remainder(c.V);
    if (c.ignore > 0) targets.masked_fill_(at::arange(c.N).remainder(c.ignore).eq(0), -1);
  }
  // hidden, weight, bias, the clusters' weight and bias.
  std::vector<at::Tensor> tensors() const {
    const auto own = head.parameters();
    return {hidden, head.weight(), own[0].tensor, own[1].tensor, own[2].tensor};
  }
  AwdLstm encoder;
  AdaptiveSoftmaxHead head;
  at::Tensor hidden, targets;
};

// Log probabilities of all words, [N, V], by the formulas of the header.
at::Tensor log_probabilities(const std::vector<at::Tensor>& of, std::vector<std::int64_t> cutoffs) {
  const at::Tensor logits = at::addmm(of[2], of[0], of[1].t());
  const at::Tensor first =
      at::log_softmax(at::cat({logits.narrow(1, 0, cutoffs[0]), at::addmm(of[4], of[0], of[3].t())}, 1), 1);
  std::vector<at::Tensor> parts{first.narrow(1, 0, cutoffs[0])};
  cutoffs.push_back(logits.size(1));
  for (std::size_t k = 0; k + 1 < cutoffs.size(); ++k) {
    const at::Tensor within = at::log_softmax(logits.narrow(1, cutoffs[k], cutoffs[k + 1] - cutoffs[k]), 1);
    parts.push_back(within + first.narrow(1, cutoffs[0] + static_cast<std::int64_t>(k), 1));
  }
  return at::cat(parts, 1);
}

LossAndGradients ours(const Case& c, Precision precision = Precision::kFloat32) {
  const Made made(c);
  return test::backward_of(made.head.loss(made.hidden, made.targets, c.scale, precision), made.tensors());
}

// In float64 by autograd.
LossAndGradients plain(const Case& c) {
  const Made made(c);
  const std::vector<at::Tensor> wide = test::in_float64(made.tensors());
  return test::plain_backward(log_probabilities(wide, c.cutoffs), made.targets, c.scale, wide);
}

TEST(AdaptiveSoftmax, IsThePlainWayOnManyShapes) {
  for (const Case& c : std::vector<Case>{{1, 10, 4, {3}},
                                         {3, 11, 5, {1, 2}, 1, 0.25},
                                         {64, 1000, 16, {100, 300}},
                                         {65, 1000, 16, {100, 300, 999}, 1, 1, 3},
                                         {200, 40000, 4, {2000, 10000}, 1, 1e-3, 7},
                                         {700, 10000, 4, {500, 5000}, 1, 1, 2},
                                         {2000, 3300, 3, {1000}, 2, 0.5},
                                         {40, 300, 20, {20, 60}, 8},
                                         {5, 50, 6, {10}, 1, 1, 1}}) {
    SCOPED_TRACE(str("N ", c.N, ", V ", c.V, ", E ", c.E, ", spread ", c.spread, ", scale ", c.scale));
    test::expect_near(ours(c), plain(c), c.scale);
  }
}

TEST(AdaptiveSoftmax, ProbabilitiesOfAllWordsSumToOne) {
  const Made made({1, 60, 8, {7, 20, 41}, 3});
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (std::int64_t word = 0; word < 60; ++word) {
    sum +=
        std::exp(-made.head.loss(made.hidden, at::full({1}, word, at::kLong), 1, Precision::kFloat32).nats.item<double>());
  }
  EXPECT_NEAR(sum, 1, 1e-6);
}

TEST(AdaptiveSoftmax, GradientsAreFiniteDifferences) {
  const Case c{6, 13, 4, {3, 8}, 1, 0.7, 5};
  const Made made(c);
  torch::autograd::backward({made.head.loss(made.hidden, made.targets, c.scale, Precision::kFloat32).loss}, {});
  const auto loss = [&] {
    return c.scale * made.head.loss(made.hidden, made.targets, 1, Precision::kFloat32).nats.item<double>();
  };
  for (const auto& t : made.tensors()) {
    EXPECT_LT(relative_difference(t.grad(), test::finite_differences(t.detach(), 1e-2, loss)), 1e-3);
  }
}

TEST(AdaptiveSoftmax, GradientsOfParametersAreAddedToWhatIsThere) {
  const Case c{50, 30, 4, {5, 12}};
  const LossAndGradients once = ours(c);
  const Made made(c);
  const auto tensors = made.tensors();
  for (std::size_t i = 1; i < tensors.size(); ++i) tensors[i].mutable_grad().fill_(static_cast<double>(i));
  torch::autograd::backward({made.head.loss(made.hidden, made.targets, c.scale, Precision::kFloat32).loss}, {});
  EXPECT_TRUE(test::same_bits(made.hidden.grad(), once.gradients[0]));
  for (std::size_t i = 1; i < tensors.size(); ++i) {
    EXPECT_LT(relative_difference(tensors[i].grad(), once.gradients[i] + static_cast<double>(i)), 1e-5) << i;
  }
}

TEST(AdaptiveSoftmax, WithoutGradientModeNoneIsMadeAndAFrozenMatrixGetsNone) {
  const Case c{50, 30, 4, {5, 12}};
  const Made made(c);
  const LossAndGradients expected = ours(c);
  {
    const at::NoGradGuard no_grad;
    EXPECT_EQ(made.head.loss(made.hidden, made.targets, 1, Precision::kFloat32).nats.item<double>(), expected.nats);
  }
  for (const auto& p : made.head.parameters()) EXPECT_EQ(p.tensor.grad().count_nonzero().item<std::int64_t>(), 0) << p.name;
  for (const auto& p : made.tensors()) {
    if (p.is_same(made.hidden)) continue;
    p.set_requires_grad(false);
    p.mutable_grad().reset();
  }
  torch::autograd::backward({made.head.loss(made.hidden, made.targets, 1, Precision::kFloat32).loss}, {});
  EXPECT_TRUE(test::same_bits(made.hidden.grad(), expected.gradients[0]));
}

TEST(AdaptiveSoftmax, NoRowsAndTargetsOutsideTheVocabulary) {
  const Made made({5, 30, 4, {5, 12}});
  EXPECT_EQ(
      made.head.loss(made.hidden.narrow(0, 0, 0), made.targets.narrow(0, 0, 0), 1, Precision::kFloat32).nats.item<double>(),
      0);
  made.targets[2] = 30;
  EXPECT_THROW(made.head.loss(made.hidden, made.targets, 1, Precision::kFloat32), std::exception);
  EXPECT_THROW(AdaptiveSoftmaxHead(made.encoder, {5, 5}), std::exception);
  EXPECT_THROW(AdaptiveSoftmaxHead(made.encoder, {30}), std::exception);
}

TEST(AdaptiveSoftmax, OneAndTwoThreadsGiveTheSameBits) {
  const int before = at::get_num_threads();
  const Case c{560, 12000, 40, {700, 4000}, 1, 1, 3};
  at::set_num_threads(1);
  const LossAndGradients one = ours(c);
  at::set_num_threads(2);
  const LossAndGradients two = ours(c);
  at::set_num_threads(before);
  EXPECT_EQ(one.nats, two.nats);
  for (std::size_t i = 0; i < one.gradients.size(); ++i)
    EXPECT_TRUE(test::same_bits(one.gradients[i], two.gradients[i])) << i;
}

TEST(AdaptiveSoftmax, InBfloat16IsThePlainOneToItsRounding) {
  const Case c{1500, 5000, 24, {400, 1800}, 0.5, 1.0 / 1500, 7};
  const LossAndGradients found = ours(c, Precision::kBfloat16);
  const LossAndGradients expected = ours(c);
  EXPECT_NEAR(found.loss, expected.loss, 0.02 * expected.loss);
  for (std::size_t i = 0; i < found.gradients.size(); ++i) {
    const double difference = relative_difference(found.gradients[i], expected.gradients[i]);
    EXPECT_LE(difference, 0.05) << i;  // of the clusters, whose terms nearly cancel, 0.033
    EXPECT_GT(difference, 0) << i << " was not rounded";
    EXPECT_EQ(found.gradients[i].scalar_type(), at::kFloat) << i;
  }
}

TEST(AdaptiveSoftmax, ItsClustersTrainWithTheMatrixAndTheFullHeadHasNone) {
  const AwdLstm encoder({.vocabulary = 20, .embedding = 4, .hidden = 5, .layers = 2}, 1, at::kCPU);
  const AdaptiveSoftmaxHead head(encoder, {5, 9});
  EXPECT_FALSE(head.is_full());
  std::vector<std::string> names;
  const auto groups = head.groups(encoder);
  for (const auto& p : groups.back().parameters) names.push_back(p.name);
  EXPECT_THAT(names, testing::ElementsAre("embedding.weight", "decoder.bias", "clusters.weight", "clusters.bias"));
  EXPECT_EQ(head.parameters()[1].tensor.sizes(), at::IntArrayRef({2, 4}));
  EXPECT_TRUE(head.parameters()[1].decay);
  EXPECT_FALSE(head.parameters()[2].decay);
  const SoftmaxHead full = head.full();
  EXPECT_TRUE(full.is_full());
  EXPECT_TRUE(full.weight().is_same(head.weight()));
  EXPECT_TRUE(full.bias().is_same(head.bias()));
  EXPECT_EQ(tensors_of(encoder, full).size(), encoder.parameters().size() + 1);
  const at::NoGradGuard no_grad;
  const at::Tensor hidden = closed_form(1, {6, 4}, 1), targets = at::arange(6, at::kLong).mul(3);
  EXPECT_NEAR(full.loss(hidden, targets, 1, Precision::kFloat32).nats.item<double>(),
              test::plain_linear_cross_entropy(hidden, full.weight(), full.bias(), targets, 1).item<double>(), 1e-4);
}

}  // namespace
}  // namespace ulmfit::model
