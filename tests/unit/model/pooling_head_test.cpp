#include "model/pooling_head.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/dropout.h"
#include "tests/support/model_checks.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::relative_difference;
using test::same_bits;
using ::testing::ElementsAre;

MaskKey slots(std::int64_t n, std::uint64_t step = 1) {
  MaskKey key{5, step, {}};
  for (std::int64_t s = 0; s < n; ++s) key.streams.push_back(static_cast<std::uint32_t>(s));
  return key;
}

// Weights in closed form, so that scale and shift of the batch norm are not 1 and 0.
PoolingHead some_head(const std::vector<std::int64_t>& widths) {
  PoolingHead head({widths}, 1, at::kCPU);
  at::NoGradGuard no_grad;
  std::int64_t number = 1;
  for (const auto& p : head.parameters()) {
    const double shift = p.name.ends_with("bn.weight") ? 1 : 0;
    at::Tensor(p.tensor).copy_(closed_form(number++, p.tensor.sizes(), 0.5) + shift);
  }
  return head;
}

at::Tensor parameter(const PoolingHead& head, std::size_t i) {
  return head.parameters()[i].tensor.detach().to(at::kDouble);
}

TEST(PoolingHead, TrainingNormalisesByTheBatch) {
  PoolingHead head = some_head({4, 3});
  const at::Tensor x = closed_form(9, {6, 4}, 2) + 5;
  const MaskKey key = slots(6);
  const at::Tensor logits = head.forward(x, {0}, &key);
  const at::Tensor d = x.to(at::kDouble);
  const at::Tensor normal = (d - d.mean(0)) / (d.var(0, /*unbiased=*/false) + 1e-5).sqrt();
  EXPECT_LT(relative_difference(logits, (normal * parameter(head, 0) + parameter(head, 1)).matmul(parameter(head, 2).t())),
            1e-5);
}

TEST(PoolingHead, RunningStatisticsMoveByATenth) {
  PoolingHead head = some_head({4, 3});
  const at::Tensor x = closed_form(9, {6, 4}, 2) + 5;
  const MaskKey key = slots(6);
  head.forward(x, {0}, &key);
  const at::Tensor d = x.to(at::kDouble);
  EXPECT_LT(relative_difference(head.buffers()[0].second, 0.1 * d.mean(0)), 1e-6);
  EXPECT_LT(relative_difference(head.buffers()[1].second, 0.9 + 0.1 * d.var(0, /*unbiased=*/true)), 1e-6);
  head.forward(x, {0}, &key);
  EXPECT_LT(relative_difference(head.buffers()[0].second, 0.19 * d.mean(0)), 1e-6);
}

TEST(PoolingHead, StatisticsStayWhenToldSo) {
  PoolingHead head = some_head({4, 5, 3});
  const at::Tensor x = closed_form(9, {6, 4}, 2);
  const MaskKey key = slots(6);
  const at::Tensor logits = head.forward(x, {0.3, 0.1}, &key, /*update_statistics=*/false);
  for (std::size_t k = 0; k < 2; ++k) {
    EXPECT_EQ(head.buffers()[2 * k].second.count_nonzero().item<std::int64_t>(), 0);
    EXPECT_TRUE(head.buffers()[2 * k + 1].second.eq(1).all().item<bool>());
  }
  EXPECT_TRUE(same_bits(head.forward(x, {0.3, 0.1}, &key), logits));
}

TEST(PoolingHead, EvaluationUsesTheRunningStatisticsAndMovesNothing) {
  PoolingHead head = some_head({4, 3});
  head.buffers()[0].second.copy_(closed_form(20, {4}, 1));
  head.buffers()[1].second.copy_(closed_form(21, {4}, 0.5) + 2);
  const at::Tensor mean = head.buffers()[0].second.clone();
  const at::Tensor variance = head.buffers()[1].second.clone();
  const at::Tensor x = closed_form(9, {1, 4}, 2);
  const at::Tensor logits = head.forward(x, {}, nullptr);
  const at::Tensor normal = (x - mean).to(at::kDouble) / (variance.to(at::kDouble) + 1e-5).sqrt();
  EXPECT_LT(relative_difference(logits, (normal * parameter(head, 0) + parameter(head, 1)).matmul(parameter(head, 2).t())),
            1e-5);
  EXPECT_TRUE(same_bits(head.buffers()[0].second, mean));
  EXPECT_TRUE(same_bits(head.buffers()[1].second, variance));
}

TEST(PoolingHead, ReluStandsBetweenBlocksAndNotBehindTheLast) {
  PoolingHead head = some_head({4, 5, 3});
  const at::Tensor x = closed_form(9, {8, 4}, 2);
  const at::Tensor logits = head.forward(x, {}, nullptr);
  // Running mean 0 and variance 1: normalising divides by sqrt(1 + 1e-5).
  const double r = 1 / std::sqrt(1 + 1e-5);
  const at::Tensor first = (x.to(at::kDouble) * r * parameter(head, 0) + parameter(head, 1)).matmul(parameter(head, 2).t());
  const at::Tensor second = (first.relu() * r * parameter(head, 3) + parameter(head, 4)).matmul(parameter(head, 5).t());
  EXPECT_LT(relative_difference(logits, second), 1e-5);
  EXPECT_GT(first.lt(0).sum().item<std::int64_t>(), 0);
  EXPECT_GT(second.lt(0).sum().item<std::int64_t>(), 0);
}

TEST(PoolingHead, DropoutIsThatOfTheSlotAndTheBlock) {
  PoolingHead head = some_head({4, 3});
  const at::Tensor x = closed_form(9, {6, 4}, 2);
  const MaskKey key = slots(6);
  const at::Tensor d = x.to(at::kDouble);
  const at::Tensor normal = (d - d.mean(0)) / (d.var(0, /*unbiased=*/false) + 1e-5).sqrt();
  const at::Tensor mask = locked_mask(key, Purpose::kHeadDropout, 0, 0.4, 4, at::kCPU);
  const at::Tensor expected = ((normal * parameter(head, 0) + parameter(head, 1)) * mask).matmul(parameter(head, 2).t());
  EXPECT_LT(relative_difference(head.forward(x, {0.4}, &key), expected), 1e-5);
  const MaskKey next = slots(6, 2);
  EXPECT_FALSE(same_bits(head.forward(x, {0.4}, &next), head.forward(x, {0.4}, &key)));
}

TEST(PoolingHead, GradientsAreFiniteDifferences) {
  PoolingHead head = some_head({4, 5, 3});
  const at::Tensor x = closed_form(9, {6, 4}, 2).requires_grad_(true);
  const at::Tensor factor = closed_form(10, {6, 3}, 1);
  const MaskKey key = slots(6);
  const auto loss = [&] { return (head.forward(x, {0.3, 0.2}, &key, false).square() * factor).sum(); };
  torch::autograd::backward({loss()}, {});
  const auto check = [&](const at::Tensor& tensor, const std::string& name) {
    const at::Tensor differences =
        test::finite_differences(tensor.detach(), 2e-3, [&] { return loss().to(at::kDouble).item<double>(); });
    EXPECT_LT(relative_difference(tensor.grad(), differences), 5e-3) << name;
  };
  check(x, "features");
  for (const auto& p : head.parameters()) check(p.tensor, p.name);
}

// The variance of one document would poison the running statistics with 0 / 0.
TEST(PoolingHead, ABatchOfOneDocumentIsRefusedInTraining) {
  PoolingHead head = some_head({4, 3});
  const MaskKey key = slots(1);
  try {
    head.forward(closed_form(9, {1, 4}, 2), {0}, &key);
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("a batch of 1 documents: batch norm needs at least 2"));
  }
  EXPECT_TRUE(head.buffers()[1].second.eq(1).all().item<bool>());
}

TEST(PoolingHead, NamesDecayAndBuffers) {
  const PoolingHead head({{12, 5, 3}}, 1, at::kCPU);
  std::vector<std::string> decayed;
  std::vector<std::string> others;
  for (const auto& p : head.parameters()) (p.decay ? decayed : others).push_back(p.name);
  EXPECT_THAT(decayed, ElementsAre("head.0.linear.weight", "head.1.linear.weight"));
  EXPECT_THAT(others, ElementsAre("head.0.bn.weight", "head.0.bn.bias", "head.1.bn.weight", "head.1.bn.bias"));
  std::vector<std::string> buffers;
  for (const auto& [name, tensor] : head.buffers()) {
    buffers.push_back(name);
    EXPECT_FALSE(tensor.requires_grad());
  }
  EXPECT_THAT(buffers, ElementsAre("head.0.bn.running_mean", "head.0.bn.running_var", "head.1.bn.running_mean",
                                   "head.1.bn.running_var"));
}

TEST(PoolingHead, IsTheLastGroupOfTheWholeModel) {
  const AwdLstm encoder({.vocabulary = 20, .embedding = 4, .hidden = 5, .layers = 2}, 1, at::kCPU);
  const PoolingHead head({{12, 5, 3}}, 1, at::kCPU);
  const auto groups = head.groups(encoder);
  ASSERT_EQ(groups.size(), 4U);
  EXPECT_EQ(groups.front().name, "embedding");
  EXPECT_EQ(groups.back().name, "head");
  EXPECT_EQ(groups.back().parameters.size(), head.parameters().size());
}

// As in models of fastai v1.
TEST(PoolingHead, LinearLayersCanHaveABias) {
  PoolingHead without({{4, 5, 3}, {}, false}, 1, at::kCPU);
  PoolingHead with({{4, 5, 3}, {}, true}, 1, at::kCPU);
  std::vector<std::string> biases;
  at::NoGradGuard no_grad;
  for (const auto& p : with.parameters()) {
    if (!p.name.ends_with("linear.bias")) continue;
    EXPECT_FALSE(p.decay);
    EXPECT_GT(p.tensor.abs().max().item<double>(), 0);
    EXPECT_LE(p.tensor.abs().max().item<double>(), 1 / std::sqrt(4.0));
    at::Tensor(p.tensor).zero_();
    biases.push_back(p.name);
  }
  EXPECT_THAT(biases, ElementsAre("head.0.linear.bias", "head.1.linear.bias"));
  const at::Tensor x = closed_form(3, {6, 4}, 1.0);
  EXPECT_TRUE(same_bits(with.forward(x, {}, nullptr), without.forward(x, {}, nullptr))) << "the other weights are the same";
  at::Tensor(with.parameters().back().tensor).copy_(at::tensor({1.0F, -2.0F, 3.0F}));
  EXPECT_TRUE(at::allclose(with.forward(x, {}, nullptr) - without.forward(x, {}, nullptr),
                           at::tensor({1.0F, -2.0F, 3.0F}).expand({6, 3})));
}

TEST(PoolingHead, WeightsAreDrawnWithinPyTorchsBoundAndBySeed) {
  const PoolingHead a({{300, 50, 2}}, 1, at::kCPU);
  const at::Tensor weight = a.parameters()[2].tensor.detach();
  const double bound = 1 / std::sqrt(300.0);
  EXPECT_LE(weight.abs().max().item<double>(), bound + 1e-7);
  EXPECT_NEAR(weight.square().mean().item<double>(), bound * bound / 3, 0.02 * bound * bound / 3);
  EXPECT_TRUE(same_bits(weight, PoolingHead({{300, 50, 2}}, 1, at::kCPU).parameters()[2].tensor));
  EXPECT_FALSE(same_bits(weight, PoolingHead({{300, 50, 2}}, 2, at::kCPU).parameters()[2].tensor));
}

TEST(PoolingHead, TakesOverWhatAgrees) {
  const PoolingHead former = some_head({6, 4, 3});
  const auto tensors = [](const PoolingHead& head) {
    std::map<std::string, at::Tensor> all;
    for (const auto& p : head.parameters()) all[p.name] = p.tensor.detach();
    for (const auto& [name, tensor] : head.buffers()) all[name] = tensor;
    return all;
  };
  at::Tensor(former.buffers()[0].second).fill_(0.25);
  PoolingHead head({{6, 4, 2}}, 9, at::kCPU);
  const at::Tensor begun = tensors(head)["head.1.linear.weight"].clone();
  EXPECT_EQ(head.take_over(former, {2, -1}), 2U);
  auto ours = tensors(head), theirs = tensors(former);
  for (const auto& [name, tensor] : ours) {
    if (name == "head.1.linear.weight") continue;
    EXPECT_TRUE(same_bits(tensor, theirs[name])) << name;
  }
  EXPECT_TRUE(same_bits(ours["head.1.linear.weight"][0], theirs["head.1.linear.weight"][2]));
  EXPECT_TRUE(same_bits(ours["head.1.linear.weight"][1], begun[1]));
  // Nothing behind the first layer that differs: its inputs mean something else.
  for (const std::vector<std::int64_t>& widths : {std::vector<std::int64_t>{6, 5, 3}, {6, 3}, {6, 4, 4, 3}}) {
    PoolingHead other({widths}, 9, at::kCPU);
    const auto before = tensors(PoolingHead({widths}, 9, at::kCPU));
    EXPECT_EQ(other.take_over(former, {0, 1, 2}), widths[1] == 4 ? 1U : 0U);
    const auto last = std::string("head.") + std::to_string(widths.size() - 2) + ".linear.weight";
    EXPECT_TRUE(same_bits(tensors(other)[last], before.at(last)));
  }
}

}  // namespace
}  // namespace ulmfit::model
