#include "optim/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <stdexcept>

#include "base/error.h"
#include "base/random.h"

namespace ulmfit::optim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

at::Tensor normal(std::uint64_t seed, std::vector<std::int64_t> shape, std::uint64_t step = 0) {
  at::Tensor out = at::empty(shape);
  auto* data = out.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    data[i] = static_cast<float>(random_normal({seed, Purpose::kBench, step, 0}, static_cast<std::uint64_t>(i)));
  }
  return out;
}

// Two groups: "body" (a decayed matrix, a bias without decay) and "head" (one matrix).
std::vector<LayerGroup> model() {
  return {{"body", {{"body.weight", normal(1, {5, 7}), true}, {"body.bias", normal(2, {7}), false}}},
          {"head", {{"head.weight", normal(3, {3, 7}), true}}}};
}

void set_gradients(const std::vector<LayerGroup>& groups, std::uint64_t step) {
  std::uint64_t seed = 10;
  for (const LayerGroup& group : groups) {
    for (NamedParameter p : group.parameters) p.tensor.mutable_grad() = normal(seed++, p.tensor.sizes().vec(), step);
  }
}

// The formulas of optimizer.h, one element at a time in float64.
struct ReferenceAdam {
  std::vector<double> p, m, v;
  int updates = 0;

  explicit ReferenceAdam(const at::Tensor& from) {
    for (std::int64_t i = 0; i < from.numel(); ++i) p.push_back(from.flatten()[i].item<double>());
    m.assign(p.size(), 0);
    v.assign(p.size(), 0);
  }
  void step(const at::Tensor& gradient, double lr, double wd, double beta1, double beta2 = 0.99, double eps = 1e-5) {
    ++updates;
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double g = gradient.flatten()[static_cast<std::int64_t>(i)].item<double>();
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      p[i] *= 1 - lr * wd;
      p[i] -= lr / (1 - std::pow(beta1, updates)) * m[i] / (std::sqrt(v[i] / (1 - std::pow(beta2, updates))) + eps);
    }
  }
};

void expect_close(const at::Tensor& found, const std::vector<double>& expected, const std::string& what) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double got = found.flatten()[static_cast<std::int64_t>(i)].item<double>();
    EXPECT_NEAR(got, expected[i], 2e-6 * std::max(1.0, std::abs(expected[i]))) << what << " [" << i << "]";
  }
}

TEST(Adam, IsTheWrittenOutFormulaWithCyclingMomentum) {
  const std::vector<LayerGroup> groups = model();
  std::vector<ReferenceAdam> expected;
  for (const LayerGroup& group : groups) {
    for (const NamedParameter& p : group.parameters) expected.emplace_back(p.tensor);
  }
  Optimizer optimizer(groups, {.weight_decay = 0.1});
  for (std::uint64_t step = 0; step < 20; ++step) {
    set_gradients(groups, step);
    const double beta1 = 0.8 - 0.005 * static_cast<double>(step);
    const std::vector<double> lr = {0.01 / 2.6, 0.01 * static_cast<double>(step % 3)};
    expected[0].step(groups[0].parameters[0].tensor.grad(), lr[0], 0.1, beta1);
    expected[1].step(groups[0].parameters[1].tensor.grad(), lr[0], 0, beta1);
    expected[2].step(groups[1].parameters[0].tensor.grad(), lr[1], 0.1, beta1);
    optimizer.step(lr, beta1);
  }
  const OptimizerState state = optimizer.state();
  ASSERT_EQ(state.moments.size(), 6U);
  for (std::size_t i = 0; i < 3; ++i) {
    const NamedParameter& p = i < 2 ? groups[0].parameters[i] : groups[1].parameters[0];
    expect_close(p.tensor, expected[i].p, p.name);
    EXPECT_EQ(state.moments[2 * i].first, "exp_avg." + p.name);
    EXPECT_EQ(state.moments[2 * i + 1].first, "exp_avg_sq." + p.name);
    expect_close(state.moments[2 * i].second, expected[i].m, state.moments[2 * i].first);
    expect_close(state.moments[2 * i + 1].second, expected[i].v, state.moments[2 * i + 1].first);
  }
  EXPECT_THAT(state.steps, ElementsAre(20, 20));
}

TEST(Adam, FirstStepMovesByTheRate) {
  // m / debias1 = g and v / debias2 = g^2: the step is lr g / (|g| + eps) for any betas.
  const at::Tensor p = at::zeros({3});
  Optimizer optimizer({{"all", {{"p", p, false}}}}, {.eps = 0});
  at::Tensor(p).mutable_grad() = at::tensor({4.0F, -0.001F, 1e-6F});
  optimizer.step({0.5});
  EXPECT_TRUE(at::allclose(p, at::tensor({-0.5F, 0.5F, -0.5F}), 1e-5, 0));
}

TEST(Adam, DefaultMomentumIsTheOptions) {
  std::vector<at::Tensor> results;
  for (const bool given : {false, true}) {
    const std::vector<LayerGroup> groups = model();
    Optimizer optimizer(groups, {.beta1 = 0.6});
    for (std::uint64_t step = 0; step < 3; ++step) {
      set_gradients(groups, step);
      optimizer.step({0.1, 0.1}, given ? std::optional<double>(0.6) : std::nullopt);
    }
    results.push_back(groups[0].parameters[0].tensor);
  }
  EXPECT_TRUE(at::equal(results[0], results[1]));
}

// Sizes around vector widths and block edges: a chunk's tail must not depend on where threads cut.
TEST(Optimizer, IsTheSameBitForBitOnOneAndTwoThreads) {
  const int threads = at::get_num_threads();
  for (const OptimizerKind kind : {OptimizerKind::kAdam, OptimizerKind::kSgd}) {
    std::vector<std::vector<LayerGroup>> results;
    for (const int n : {1, 2}) {
      at::set_num_threads(n);
      std::vector<LayerGroup> groups(1);
      for (const std::int64_t size : {1, 7, 63, 65, 1000, 32769, 200003}) {
        groups[0].parameters.push_back({"p" + std::to_string(size), normal(5, {size}), true});
      }
      Optimizer optimizer(groups, {.kind = kind});
      for (std::uint64_t step = 0; step < 3; ++step) {
        set_gradients(groups, step);
        optimizer.step({0.003}, 0.75);
      }
      results.push_back(groups);
    }
    for (std::size_t i = 0; i < results[0][0].parameters.size(); ++i) {
      const NamedParameter& one = results[0][0].parameters[i];
      EXPECT_TRUE(at::equal(one.tensor, results[1][0].parameters[i].tensor)) << one.name;
    }
  }
  at::set_num_threads(threads);
}

TEST(Sgd, IsTheWrittenOutFormulaWithL2Decay) {
  const std::vector<LayerGroup> groups = model();
  const at::Tensor weight = groups[0].parameters[0].tensor.to(at::kDouble);
  const at::Tensor bias = groups[0].parameters[1].tensor.to(at::kDouble);
  Optimizer optimizer(groups, {.kind = OptimizerKind::kSgd, .weight_decay = 0.01});
  for (std::uint64_t step = 0; step < 5; ++step) {
    set_gradients(groups, step);
    const at::Tensor gradient = groups[0].parameters[0].tensor.grad().clone();
    weight.sub_(0.3 * (gradient.to(at::kDouble) + 0.01 * weight));
    bias.sub_(0.3 * groups[0].parameters[1].tensor.grad().to(at::kDouble));
    optimizer.step({0.3, 30});
    EXPECT_TRUE(at::equal(gradient, groups[0].parameters[0].tensor.grad()));
  }
  EXPECT_TRUE(at::allclose(groups[0].parameters[0].tensor.to(at::kDouble), weight, 1e-6, 1e-6));
  EXPECT_TRUE(at::allclose(groups[0].parameters[1].tensor.to(at::kDouble), bias, 1e-6, 1e-6));
  EXPECT_TRUE(optimizer.state().moments.empty());
  EXPECT_THAT(optimizer.state().steps, ElementsAre(5, 5));
}

TEST(Optimizer, FrozenGroupsKeepEverything) {
  const std::vector<LayerGroup> groups = model();
  Optimizer optimizer(groups, {});
  set_gradients(groups, 0);
  optimizer.step({0.01, 0.01});
  std::vector<at::Tensor> before;
  for (const NamedParameter& p : groups[0].parameters) before.push_back(p.tensor.detach().clone());
  for (const auto& moment : optimizer.state().moments) before.push_back(moment.second.clone());

  optimizer.set_trainable({false, true});
  EXPECT_FALSE(groups[0].parameters[0].tensor.requires_grad());
  EXPECT_FALSE(groups[0].parameters[0].tensor.grad().defined());
  EXPECT_TRUE(groups[1].parameters[0].tensor.requires_grad());
  at::Tensor(groups[1].parameters[0].tensor).mutable_grad() = normal(9, {3, 7});
  optimizer.step({0.01, 0.01});

  EXPECT_THAT(optimizer.state().steps, ElementsAre(1, 2));
  for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(at::equal(groups[0].parameters[i].tensor, before[i]));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(at::equal(optimizer.state().moments[i].second, before[2 + i]));
  EXPECT_FALSE(at::equal(optimizer.state().moments[4].second, before[6]));
}

TEST(Optimizer, ThawedGroupStartsItsOwnCount) {
  // The count corrects the bias of young moments: a group thawed late moves by the whole rate in its first step.
  const at::Tensor p = at::zeros({1});
  const at::Tensor q = at::zeros({1});
  Optimizer optimizer({{"body", {{"p", p, false}}}, {"head", {{"q", q, false}}}}, {.eps = 0});
  optimizer.set_trainable({false, true});
  for (int step = 0; step < 50; ++step) {
    at::Tensor(q).mutable_grad() = at::ones({1});
    optimizer.step({0.1, 0.1});
  }
  optimizer.set_trainable({true, true});
  at::Tensor(p).mutable_grad() = at::full({1}, 7.0F);
  optimizer.step({0.1, 0.1});
  EXPECT_NEAR(p.item<double>(), -0.1, 1e-6);
  EXPECT_THAT(optimizer.state().steps, ElementsAre(1, 51));
}

TEST(Optimizer, ResumedIsUninterrupted) {
  const std::vector<LayerGroup> whole = model();
  const std::vector<LayerGroup> cut = model();
  Optimizer uninterrupted(whole, {});
  Optimizer first(cut, {});
  const auto run = [](Optimizer& optimizer, std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t step = from; step < to; ++step) {
      set_gradients(optimizer.groups(), step);
      optimizer.step({0.01, 0.02}, 0.7);
    }
  };
  run(uninterrupted, 0, 10);
  run(first, 0, 4);
  OptimizerState saved = first.state();
  for (auto& moment : saved.moments) moment.second = moment.second.clone();
  Optimizer second(cut, {});
  second.load_state(saved);
  run(second, 4, 10);
  for (std::size_t g = 0; g < 2; ++g) {
    for (std::size_t i = 0; i < whole[g].parameters.size(); ++i) {
      EXPECT_TRUE(at::equal(whole[g].parameters[i].tensor, cut[g].parameters[i].tensor));
    }
  }
  EXPECT_THAT(second.state().steps, ElementsAre(10, 10));
}

TEST(Optimizer, LoadsStrictlyAndWholly) {
  const std::vector<LayerGroup> groups = model();
  Optimizer trained(groups, {});
  set_gradients(groups, 0);
  trained.step({0.1, 0.1});
  const auto refusal = [&](const std::function<void(OptimizerState&)>& damage) -> std::string {
    Optimizer fresh(model(), {});
    OptimizerState state = trained.state();
    damage(state);
    std::string message = "accepted";
    try {
      fresh.load_state(state);
    } catch (const CheckpointError& e) {
      message = e.what();
      EXPECT_THAT(fresh.state().steps, ElementsAre(0, 0));
      for (const auto& moment : fresh.state().moments) EXPECT_EQ(moment.second.count_nonzero().item<int>(), 0);
    }
    return message;
  };
  EXPECT_EQ(refusal([](OptimizerState&) {}), "accepted");
  EXPECT_THAT(refusal([](OptimizerState& s) { s.moments.pop_back(); }), HasSubstr("exp_avg_sq.head.weight is missing"));
  EXPECT_THAT(refusal([](OptimizerState& s) { s.moments.emplace_back("exp_avg.tail", at::zeros({1})); }),
              HasSubstr("exp_avg.tail is not known here"));
  EXPECT_THAT(refusal([](OptimizerState& s) {
                s.moments[4].second = at::zeros({7, 3});
              }),
              HasSubstr("exp_avg.head.weight should be Float [3, 7], but is Float [7, 3]"));
  EXPECT_THAT(refusal([](OptimizerState& s) {
                s.moments[4].second = at::zeros({3, 7}, at::kDouble);
              }),
              HasSubstr("exp_avg.head.weight should be Float [3, 7], but is Double [3, 7]"));
  EXPECT_THAT(refusal([](OptimizerState& s) { s.steps.pop_back(); }), HasSubstr("1 layer groups, but the model has 2"));
  EXPECT_THAT(refusal([](OptimizerState& s) { s.steps[1] = -1; }), HasSubstr("group head has -1 steps"));
}

TEST(Optimizer, MissingGradientIsNamedAndNothingMoves) {
  const std::vector<LayerGroup> groups = model();
  Optimizer optimizer(groups, {});
  set_gradients(groups, 0);
  at::Tensor(groups[1].parameters[0].tensor).mutable_grad().reset();
  const at::Tensor before = groups[0].parameters[0].tensor.clone();
  try {
    optimizer.step({0.1, 0.1});
    FAIL();
  } catch (const std::logic_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("head.weight of the trainable group head has no gradient"));
  }
  EXPECT_TRUE(at::equal(groups[0].parameters[0].tensor, before));
  EXPECT_THAT(optimizer.state().steps, ElementsAre(0, 0));
}

TEST(Optimizer, UpdatesLeavesThatRequireGradients) {
  const std::vector<LayerGroup> groups = model();
  Optimizer optimizer(groups, {});
  optimizer.set_trainable({true, true});
  set_gradients(groups, 0);
  optimizer.step({0.1, 0.1});
  EXPECT_TRUE(groups[0].parameters[0].tensor.is_leaf());
  EXPECT_TRUE(groups[0].parameters[0].tensor.requires_grad());
}

TEST(Optimizer, ReadsGradientsThatAreViews) {
  std::vector<at::Tensor> results;
  for (const bool view : {false, true}) {
    const at::Tensor p = normal(1, {4, 6});
    Optimizer optimizer({{"all", {{"p", p, true}}}}, {});
    const at::Tensor gradient = normal(2, {6, 4}).t();
    at::Tensor(p).mutable_grad() = view ? gradient : gradient.contiguous();
    optimizer.step({0.1});
    results.push_back(p);
  }
  EXPECT_TRUE(at::equal(results[0], results[1]));
}

TEST(Optimizer, RefusesParametersItCannotTell) {
  const at::Tensor p = at::zeros({4, 2});
  EXPECT_THROW(Optimizer({{"a", {{"p", p, true}}}, {"b", {{"p", at::zeros({1}), true}}}}, {}), std::invalid_argument);
  EXPECT_THROW(Optimizer({{"a", {{"p", p, true}, {"tied", p.view({8}), true}}}}, {}), std::invalid_argument);
  EXPECT_THROW(Optimizer({{"a", {{"p", p.t(), true}}}}, {}), std::invalid_argument);
  Optimizer optimizer({{"a", {{"p", p, true}}}}, {});
  EXPECT_THROW(optimizer.step({0.1, 0.1}), std::invalid_argument);
  EXPECT_THROW(optimizer.set_trainable({true, false}), std::invalid_argument);
}

}  // namespace
}  // namespace ulmfit::optim
