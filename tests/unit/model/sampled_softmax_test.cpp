#include "model/sampled_softmax.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

#include "base/error.h"
#include "tests/support/model_checks.h"
#include "tests/unit/model/softmax_checks.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::LossAndGradients;
using test::relative_difference;

struct Case {
  std::int64_t N, V, E, samples;
  double scale = 1;
  std::int64_t ignore = 0;  // every ignore-th row; 0: none
};

struct Made {
  explicit Made(const Case& c)
      : encoder({.vocabulary = c.V, .embedding = c.E, .hidden = 2, .layers = 1}, 1, at::kCPU), head(encoder, c.samples, 5) {
    const at::NoGradGuard no_grad;
    at::Tensor(head.weight()).copy_(closed_form(2, {c.V, c.E}, 1));
    at::Tensor(head.bias()).copy_(closed_form(3, {c.V}, 1));
    for (const auto& t : {head.weight(), head.bias()}) t.mutable_grad() = at::zeros_like(t);
    hidden = closed_form(1, {c.N, c.E}, 1).set_requires_grad(true);
    targets = at::arange(c.N, at::kLong).mul(7919).add(5).remainder(c.V);
    if (c.ignore > 0) targets.masked_fill_(at::arange(c.N).remainder(c.ignore).eq(0), -1);
  }
  std::vector<at::Tensor> tensors() const { return {hidden, head.weight(), head.bias()}; }
  AwdLstm encoder;
  SampledSoftmaxHead head;
  at::Tensor hidden, targets;
};

LossAndGradients ours(const Case& c, std::int64_t step = 3, Precision precision = Precision::kFloat32) {
  Made made(c);
  made.head.begin_step(step);
  return test::backward_of(made.head.training_loss(made.hidden, made.targets, c.scale, precision), made.tensors());
}

// By the header's formula with a mask over all words, in float64: of each token the drawn ones and its target.
LossAndGradients plain(const Case& c, std::int64_t step = 3) {
  const Made made(c);
  const std::vector<at::Tensor> wide = test::in_float64(made.tensors());
  const WordSample sample = draw_words(c.V, c.samples, 5, step);
  const at::Tensor all = at::arange(c.V, at::kLong);
  at::Tensor absent = at::full({c.N, c.V}, true, at::kBool);
  absent.index_fill_(1, sample.words, false);
  absent.scatter_(1, made.targets.clamp_min(0).unsqueeze(1), false);
  const at::Tensor corrected = at::addmm(wide[2], wide[0], wide[1].t()) - log_expected_counts(all, sample.draws, c.V);
  return test::plain_backward(at::log_softmax(corrected.masked_fill(absent, -HUGE_VAL), 1), made.targets, c.scale, wide);
}

TEST(SampledSoftmax, IsThePlainWayOnManyShapes) {
  for (const Case& c : std::vector<Case>{{1, 10, 4, 3},
                                         {3, 11, 5, 1, 0.25},
                                         {64, 1000, 16, 200},
                                         {65, 1000, 16, 500, 1, 3},
                                         {200, 20000, 4, 1000, 1e-3, 7},
                                         {700, 2000, 4, 255, 1, 2},
                                         {1300, 300, 8, 299, 0.5},
                                         {5, 50, 6, 10, 1, 1}}) {
    SCOPED_TRACE(str("N ", c.N, ", V ", c.V, ", E ", c.E, ", samples ", c.samples, ", scale ", c.scale));
    test::expect_near(ours(c), plain(c), c.scale);
  }
}

TEST(SampledSoftmax, WordsAreDistinctAndAFunctionOfSeedAndStep) {
  const auto words = [](std::uint64_t seed, std::int64_t step) { return draw_words(5000, 700, seed, step).words; };
  const at::Tensor drawn = words(1, 9);
  ASSERT_EQ(drawn.size(0), 700);
  EXPECT_TRUE(drawn.diff().gt(0).all().item<bool>());
  EXPECT_GE(drawn[0].item<std::int64_t>(), 0);
  EXPECT_LT(drawn[-1].item<std::int64_t>(), 5000);
  EXPECT_TRUE(drawn.equal(words(1, 9)));
  EXPECT_FALSE(drawn.equal(words(1, 10)));
  EXPECT_FALSE(drawn.equal(words(2, 9)));
  EXPECT_TRUE(draw_words(40, 39, 1, 0).words.size(0) == 39);
  EXPECT_THROW(draw_words(40, 40, 1, 0), std::exception);
}

TEST(SampledSoftmax, WordsAreDrawnAsOftenAsIsExpected) {
  constexpr std::int64_t kWords = 3000, kSteps = 2000;
  at::Tensor drawn = at::zeros({kWords}, at::kDouble), expected = at::zeros({kWords}, at::kDouble);
  for (std::int64_t step = 0; step < kSteps; ++step) {
    const WordSample sample = draw_words(kWords, 300, 1, step);
    drawn.index_add_(0, sample.words, at::ones({300}, at::kDouble));
    expected += log_expected_counts(at::arange(kWords, at::kLong), sample.draws, kWords).exp();
  }
  EXPECT_NEAR(expected.sum().item<double>(), 300.0 * kSteps, 0.002 * 300 * kSteps);
  // By parts of the vocabulary: each of their counts has a standard error of its square root, at most.
  for (const auto& [first, count] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {0, 1}, {1, 10}, {20, 30}, {100, 100}, {500, 500}, {1500, 1500}}) {
    const double found = drawn.narrow(0, first, count).sum().item<double>();
    const double wanted = expected.narrow(0, first, count).sum().item<double>();
    EXPECT_NEAR(found, wanted, 5 * std::sqrt(wanted)) << "words from " << first;
  }
  EXPECT_GT(expected[0].item<double>(), 0.99 * kSteps);
}

// Of the gradients' means over steps: the more words are drawn, the nearer to that of the softmax over all words.
TEST(SampledSoftmax, ItsGradientIsThatOfTheFullSoftmaxInTheMean) {
  const auto difference = [](std::int64_t samples) {
    Made made({8, 60, 5, samples});
    constexpr std::int64_t kSteps = 3000;
    torch::autograd::backward({made.head.loss(made.hidden, made.targets, 1, Precision::kFloat32).loss}, {});
    std::vector<at::Tensor> full;
    for (const auto& t : made.tensors()) {
      full.push_back(t.grad().clone());
      t.mutable_grad().zero_();
    }
    for (std::int64_t step = 0; step < kSteps; ++step) {
      made.head.begin_step(step);
      torch::autograd::backward(
          {made.head.training_loss(made.hidden, made.targets, 1.0 / kSteps, Precision::kFloat32).loss}, {});
    }
    double worst = 0;
    for (std::size_t i = 0; i < full.size(); ++i) {
      worst = std::max(worst, relative_difference(made.tensors()[i].grad(), full[i]));
    }
    return worst;
  };
  const test::OneThread one;
  const double few = difference(6), many = difference(50);
  EXPECT_LT(many, 0.05);
  EXPECT_LT(many, few / 2);
}

TEST(SampledSoftmax, ValidationIsThatOfTheFullSoftmax) {
  Made made({50, 30, 4, 7});
  made.head.begin_step(0);
  EXPECT_TRUE(made.head.is_full());
  const at::NoGradGuard no_grad;
  EXPECT_EQ(made.head.loss(made.hidden, made.targets, 1, Precision::kFloat32).nats.item<double>(),
            made.head.full().loss(made.hidden, made.targets, 1, Precision::kFloat32).nats.item<double>());
  EXPECT_EQ(made.head.parameters().size(), 1U);
}

TEST(SampledSoftmax, GradientsOfParametersAreAddedAndAFrozenMatrixGetsNone) {
  const Case c{50, 30, 4, 7};
  const LossAndGradients once = ours(c);
  Made made(c);
  made.head.begin_step(3);
  for (const auto& t : {made.head.weight(), made.head.bias()}) t.mutable_grad().fill_(3);
  torch::autograd::backward({made.head.training_loss(made.hidden, made.targets, 1, Precision::kFloat32).loss}, {});
  EXPECT_LT(relative_difference(made.head.weight().grad(), once.gradients[1] + 3), 1e-5);
  EXPECT_LT(relative_difference(made.head.bias().grad(), once.gradients[2] + 3), 1e-5);
  for (const auto& t : {made.head.weight(), made.head.bias()}) {
    t.set_requires_grad(false);
    t.mutable_grad().reset();
  }
  made.hidden.mutable_grad().reset();
  torch::autograd::backward({made.head.training_loss(made.hidden, made.targets, 1, Precision::kFloat32).loss}, {});
  EXPECT_TRUE(test::same_bits(made.hidden.grad(), once.gradients[0]));
}

TEST(SampledSoftmax, AStepMustHaveBegunAndTargetsBeWords) {
  Made made({5, 30, 4, 7});
  EXPECT_THROW(made.head.training_loss(made.hidden, made.targets, 1, Precision::kFloat32), std::exception);
  made.head.begin_step(0);
  EXPECT_EQ(made.head.training_loss(made.hidden.narrow(0, 0, 0), made.targets.narrow(0, 0, 0), 1, Precision::kFloat32)
                .nats.item<double>(),
            0);
  made.targets[2] = 30;
  EXPECT_THROW(made.head.training_loss(made.hidden, made.targets, 1, Precision::kFloat32), std::exception);
  EXPECT_THROW(SampledSoftmaxHead(made.encoder, 30, 1), std::exception);
}

TEST(SampledSoftmax, OneAndTwoThreadsGiveTheSameBits) {
  const int before = at::get_num_threads();
  const Case c{560, 12000, 40, 2000, 1, 3};
  at::set_num_threads(1);
  const LossAndGradients one = ours(c);
  at::set_num_threads(2);
  const LossAndGradients two = ours(c);
  at::set_num_threads(before);
  EXPECT_EQ(one.nats, two.nats);
  for (std::size_t i = 0; i < one.gradients.size(); ++i)
    EXPECT_TRUE(test::same_bits(one.gradients[i], two.gradients[i])) << i;
}

TEST(SampledSoftmax, InBfloat16IsThePlainOneToItsRounding) {
  const Case c{1500, 5000, 24, 900, 1.0 / 1500, 7};
  const LossAndGradients found = ours(c, 3, Precision::kBfloat16);
  const LossAndGradients expected = ours(c);
  EXPECT_NEAR(found.loss, expected.loss, 0.02 * expected.loss);
  for (std::size_t i = 0; i < found.gradients.size(); ++i) {
    const double difference = relative_difference(found.gradients[i], expected.gradients[i]);
    EXPECT_LE(difference, 0.03) << i;
    EXPECT_GT(difference, 0) << i << " was not rounded";
    EXPECT_EQ(found.gradients[i].scalar_type(), at::kFloat) << i;
  }
}

}  // namespace
}  // namespace ulmfit::model
