#include "model/dropout.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <set>

#include "tests/support/model_checks.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::relative_difference;
using test::same_bits;

MaskKey key_of(std::uint64_t step, std::vector<std::uint32_t> streams) { return {42, step, std::move(streams)}; }

at::Tensor input_mask(const MaskKey& key, std::int64_t width = 50) {
  return locked_mask(key, Purpose::kInputDropout, 0, 0.4, width, at::kCPU);
}

TEST(LockedMask, ARowBelongsToItsStreamAlone) {
  const at::Tensor all = input_mask(key_of(3, {0, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(same_bits(input_mask(key_of(3, {2, 3, 4})), all.narrow(0, 2, 3)));
  EXPECT_TRUE(same_bits(input_mask(key_of(3, {5, 0})), all.index_select(0, at::tensor({5, 0}))));
  EXPECT_EQ(input_mask(key_of(3, {})).size(0), 0);
}

TEST(LockedMask, AWiderMaskBeginsWithTheNarrowerOne) {
  EXPECT_TRUE(same_bits(input_mask(key_of(3, {7}), 80).narrow(1, 0, 50), input_mask(key_of(3, {7}), 50)));
}

TEST(LockedMask, StepSeedPurposeLayerAndStreamTellMasksApart) {
  const auto mask = [](std::uint64_t seed, std::uint64_t step, Purpose purpose, std::uint32_t layer, std::uint32_t stream) {
    return locked_mask({seed, step, {stream}}, purpose, layer, 0.5, 200, at::kCPU);
  };
  const at::Tensor base = mask(1, 2, Purpose::kHiddenDropout, 0, 3);
  EXPECT_TRUE(same_bits(base, mask(1, 2, Purpose::kHiddenDropout, 0, 3)));
  EXPECT_FALSE(same_bits(base, mask(9, 2, Purpose::kHiddenDropout, 0, 3)));
  EXPECT_FALSE(same_bits(base, mask(1, 9, Purpose::kHiddenDropout, 0, 3)));
  EXPECT_FALSE(same_bits(base, mask(1, 2, Purpose::kOutputDropout, 0, 3)));
  EXPECT_FALSE(same_bits(base, mask(1, 2, Purpose::kHiddenDropout, 1, 3)));
  EXPECT_FALSE(same_bits(base, mask(1, 2, Purpose::kHiddenDropout, 0, 4)));
  EXPECT_FALSE(same_bits(base, mask(1, 2 + (1ULL << 32), Purpose::kHiddenDropout, 0, 3)));
}

TEST(LockedMask, DropsItsShareAndKeepsTheMean) {
  std::vector<std::uint32_t> streams(400);
  for (std::uint32_t s = 0; s < 400; ++s) streams[s] = s;
  for (const double drop : {0.02, 0.25, 0.5, 0.9}) {
    const at::Tensor mask = locked_mask(key_of(1, streams), Purpose::kInputDropout, 0, drop, 500, at::kCPU);
    const double n = 400 * 500;
    const double dropped = n - mask.count_nonzero().item<double>();
    EXPECT_NEAR(dropped / n, drop, 4 * std::sqrt(drop * (1 - drop) / n));
    EXPECT_EQ(mask.max().item<float>(), static_cast<float>(1 / (1 - drop)));
    EXPECT_NEAR(mask.mean(at::kDouble).item<double>(), 1, 4 * std::sqrt(drop / (1 - drop) / n));
  }
}

TEST(SharedMask, DependsOnNoStream) {
  const auto mask = [](const MaskKey& key, std::uint32_t layer) {
    return shared_mask(key, Purpose::kWeightDropout, layer, 0.5, 32, 8);
  };
  EXPECT_TRUE(same_bits(mask(key_of(1, {0, 1}), 0), mask(key_of(1, {9}), 0)));
  EXPECT_FALSE(same_bits(mask(key_of(1, {0}), 0), mask(key_of(1, {0}), 1)));
  EXPECT_FALSE(same_bits(mask(key_of(1, {0}), 0), mask(key_of(2, {0}), 0)));
}

TEST(DropWeights, GradientIsThatOfTheProduct) {
  const at::Tensor weight = closed_form(1, {8, 6}, 1).requires_grad_(true);
  const at::Tensor mask = shared_mask(key_of(1, {}), Purpose::kWeightDropout, 0, 0.5, 8, 6);
  const at::Tensor factor = closed_form(2, {8, 6}, 1);
  const auto loss = [&] { return (drop_weights(weight, mask).square() * factor).sum(); };
  torch::autograd::backward({loss()}, {});
  const at::Tensor differences =
      test::finite_differences(weight.detach(), 1e-2, [&] { return loss().to(at::kDouble).item<double>(); });
  EXPECT_LT(relative_difference(weight.grad(), differences), 1e-3);
  EXPECT_EQ(weight.grad().masked_select(mask.eq(0)).count_nonzero().item<std::int64_t>(), 0);
}

class EmbedTest : public ::testing::Test {
 protected:
  EmbedTest() : weight_(closed_form(1, {20, 4}, 1).requires_grad_(true)), ids_(at::empty({6, 5}, at::kLong)) {
    for (std::int64_t i = 0; i < 30; ++i) ids_.mutable_data_ptr<std::int64_t>()[i] = (i * i + 3) % 20;
    weight_.mutable_grad() = at::zeros_like(weight_);
  }
  // The factor of each word type, [V, 1]: read off rows of ones.
  static at::Tensor factors(const MaskKey& key, double drop) {
    at::NoGradGuard no_grad;
    return embed(at::arange(20, at::kLong).unsqueeze(1), at::ones({20, 1}), drop, &key).reshape({20, 1});
  }
  at::Tensor weight_, ids_;
};

TEST_F(EmbedTest, IsALookUpWithoutDropout) {
  EXPECT_TRUE(same_bits(embed(ids_, weight_, 0.5, nullptr), at::embedding(weight_, ids_)));
  const MaskKey key = key_of(1, {0, 1, 2, 3, 4});
  EXPECT_TRUE(same_bits(embed(ids_, weight_, 0, &key), at::embedding(weight_, ids_)));
}

TEST_F(EmbedTest, DropsAWordTypeEverywhereInTheStep) {
  const MaskKey key = key_of(5, {0, 1, 2, 3, 4});
  const at::Tensor factor = factors(key, 0.4);
  for (std::int64_t v = 0; v < 20; ++v) {
    const float f = factor[v].item<float>();
    EXPECT_TRUE(f == 0 || f == static_cast<float>(1 / 0.6)) << f;
  }
  EXPECT_TRUE(same_bits(embed(ids_, weight_, 0.4, &key), at::embedding(weight_ * factor, ids_)));
  // Other streams (another rank) of the same step drop the same words; another step drops others.
  const MaskKey elsewhere = key_of(5, {77});
  EXPECT_TRUE(same_bits(factors(elsewhere, 0.4), factor));
  EXPECT_FALSE(same_bits(factors(key_of(6, {0}), 0.4), factor));
}

TEST_F(EmbedTest, DropsItsShareOfWordTypes) {
  double dropped = 0;
  for (std::uint64_t step = 0; step < 500; ++step)
    dropped += 20 - factors(key_of(step, {}), 0.1).count_nonzero().item<double>();
  EXPECT_NEAR(dropped / 10000, 0.1, 4 * std::sqrt(0.09 / 10000));
}

TEST_F(EmbedTest, GradientIsTheDenseOneAndFiniteDifferences) {
  const MaskKey key = key_of(5, {0, 1, 2, 3, 4});
  const at::Tensor factor = closed_form(2, {6, 5, 4}, 1);
  const auto loss = [&] { return (embed(ids_, weight_, 0.4, &key).square() * factor).sum(); };
  torch::autograd::backward({loss()}, {});

  const at::Tensor copy = weight_.detach().clone().requires_grad_(true);
  torch::autograd::backward({(at::embedding(copy * factors(key, 0.4), ids_).square() * factor).sum()}, {});
  EXPECT_LT(relative_difference(weight_.grad(), copy.grad()), 1e-6);
  const at::Tensor differences =
      test::finite_differences(weight_.detach(), 1e-2, [&] { return loss().to(at::kDouble).item<double>(); });
  EXPECT_LT(relative_difference(weight_.grad(), differences), 1e-3);
}

TEST_F(EmbedTest, GradientIsAddedToTheBuffer) {
  torch::autograd::backward({embed(ids_, weight_, 0, nullptr).sum()}, {});
  const at::Tensor once = weight_.grad().clone();
  torch::autograd::backward({embed(ids_, weight_, 0, nullptr).sum()}, {});
  EXPECT_TRUE(same_bits(weight_.grad(), 2 * once));
  EXPECT_EQ(once.sum().item<float>(), 30 * 4);
}

TEST_F(EmbedTest, AFrozenMatrixMakesNoGraph) {
  EXPECT_FALSE(embed(ids_, weight_.detach(), 0, nullptr).requires_grad());
  at::NoGradGuard no_grad;
  EXPECT_FALSE(embed(ids_, weight_, 0, nullptr).requires_grad());
}

TEST_F(EmbedTest, AMissingGradientBufferIsNamed) {
  weight_.mutable_grad().reset();
  const at::Tensor sum = embed(ids_, weight_, 0, nullptr).sum();
  try {
    torch::autograd::backward({sum}, {});
    FAIL() << "no error";
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find("gradient buffer of the embedding must exist"), std::string::npos);
  }
}

TEST(DropHidden, RoundsOnceInTheTypeOfTheStates) {
  const at::Tensor mask = input_mask(key_of(3, {2, 3, 4}), 24);
  const at::Tensor wide = closed_form(1, {5, 3, 24}, 1.0), gradient = closed_form(2, {5, 3, 24}, 1.0);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor states = wide.to(type, /*non_blocking=*/false, /*copy=*/true).requires_grad_(true);
    const at::Tensor dropped = drop_hidden(states, mask);
    EXPECT_TRUE(same_bits(dropped.detach(), (states.detach().to(at::kFloat) * mask).to(type)));
    torch::autograd::backward({dropped}, {gradient.to(type)});
    EXPECT_TRUE(same_bits(states.grad(), (gradient.to(type).to(at::kFloat) * mask).to(type)));
  }
}

}  // namespace
}  // namespace ulmfit::model
