// The model with kernels of ours, run by the host, and without.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <initializer_list>
#include <string_view>

#include "kernels/masks.h"
#include "kernels/softmax.h"
#include "model/dropout.h"
#include "model/flat_weights.h"
#include "model/gpu_kernels.h"
#include "model/linear_cross_entropy.h"
#include "tests/gpu/fake/fake_device.h"
#include "tests/support/host_kernels.h"
#include "tests/support/model_checks.h"

namespace ulmfit::test {
namespace {

using ::testing::Key;

const model::MaskKey kKey{7, (1ULL << 33) + 3, {4, 9, 2}};

class Kernels : public ::testing::Test {
 protected:
  // What `compute` returns by operators, and by kernels, each on the device.
  template <class Compute>
  std::pair<std::vector<at::Tensor>, std::vector<at::Tensor>> both_ways(const Compute& compute) {
    const std::vector<at::Tensor> plain = compute();
    const LauncherScope scope(device_.type(), launcher_);
    EXPECT_NE(model::kernels_on(device_), nullptr);
    return {plain, compute()};
  }

  const at::Device device_ = fake_device();
  HostLauncher launcher_;
};

TEST_F(Kernels, DrawTheSameMasks) {
  const auto [plain, ours] = both_ways([&] {
    at::Tensor weight = closed_form(1, {50, 6}, 1).to(device_).requires_grad_(true);
    weight.mutable_grad() = at::zeros_like(weight);
    const at::Tensor ids = at::arange(50, at::kLong).reshape({10, 5}).to(device_);
    const at::Tensor rows = model::embed(ids, weight, 0.3, &kKey);
    torch::autograd::backward({rows.sum()}, {});
    return std::vector{model::locked_mask(kKey, Purpose::kHiddenDropout, 2, 0.4, 33, device_), rows, weight.grad()};
  });
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(same_bits(plain[i].cpu(), ours[i].cpu())) << i;
}

TEST_F(Kernels, MaskWeightsAndGradientsAlike) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto [plain, ours] = both_ways([&] {
      const auto leaf = [&](std::int64_t number, at::IntArrayRef shape) {
        return closed_form(number, shape, 1).to(device_).requires_grad_(true);
      };
      const model::FlatWeights leaves{leaf(1, {12, 5}), leaf(2, {12, 3}), leaf(3, {12}), leaf(4, {12})};
      const model::WeightMask mask{model::draws_of_shared_mask(kKey, Purpose::kWeightDropout, 1), 0.4};
      const model::FlatWeights flat = model::flat_weights(leaves, mask, type);
      torch::autograd::backward({(flat.weight_hh * flat.weight_hh).sum() + flat.weight_ih.sum()}, {});
      return std::vector{flat.weight_hh.detach().to(at::kFloat), leaves.weight_hh.grad(), leaves.weight_ih.grad()};
    });
    for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(same_bits(plain[i].cpu(), ours[i].cpu())) << type << i;
  }
}

TEST_F(Kernels, GiveTheSameLossAndGradients) {
  for (const model::Precision precision : {model::Precision::kFloat32, model::Precision::kBfloat16}) {
    const auto [plain, ours] = both_ways([&] {
      at::Tensor hidden = closed_form(1, {700, 12}, 1).to(device_).requires_grad_(true);  // of float32 two blocks
      at::Tensor weight = closed_form(2, {301, 12}, 0.5).to(device_).requires_grad_(true);
      at::Tensor bias = closed_form(3, {301}, 0.5).to(device_).requires_grad_(true);
      weight.mutable_grad() = at::zeros_like(weight);
      bias.mutable_grad() = at::zeros_like(bias);
      const at::Tensor targets = at::arange(700, at::kLong).remainder_(303).sub_(1).clamp_max_(300).to(device_);
      const auto loss = model::linear_cross_entropy(hidden, weight, bias, targets, 1.0 / 700, precision);
      torch::autograd::backward({loss.loss}, {});
      return std::vector{loss.loss.detach(), hidden.grad(), weight.grad(), bias.grad()};
    });
    const double tolerance = precision == model::Precision::kFloat32 ? 1e-6 : 1e-2;
    for (std::size_t i = 0; i < plain.size(); ++i) {
      EXPECT_LE(relative_difference(ours[i].cpu(), plain[i].cpu()), tolerance) << i;
    }
  }
  const auto& launches = launcher_.launches();
  const int of_the_check = 1;  // model/gpu_kernels.h
  EXPECT_EQ(launches.at("row_gradients_float"), of_the_check + 2);
  EXPECT_EQ(launches.at("row_gradients_bfloat16"), of_the_check + 1);
}

// Kernels that compute something else are found out before they are used.
TEST_F(Kernels, ThatAreWrongAreNotUsed) {
  struct WithoutBarriers : HostLauncher {
    WithoutBarriers() { without_barriers = true; }
  } without_barriers;
  struct WithoutShares : HostLauncher {  // the gradient of the targets alone
    void launch(const char* kernel, unsigned blocks, void** arguments) override {
      if (std::string_view(kernel) != "row_gradients_bfloat16") HostLauncher::launch(kernel, blocks, arguments);
    }
  } without_shares;
  struct Failing : HostLauncher {
    void launch(const char*, unsigned, void**) override { throw std::runtime_error("no such thing"); }
  } failing;
  for (kernels::Launcher* launcher :
       std::initializer_list<kernels::Launcher*>{&without_barriers, &without_shares, &failing}) {
    const LauncherScope scope(device_.type(), *launcher);
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(model::kernels_on(device_), nullptr);
    EXPECT_EQ(model::kernels_on(device_), nullptr);
    const std::string told = ::testing::internal::GetCapturedStderr();
    EXPECT_NE(told.find("kernels of ulmfit are not used on"), std::string::npos);
    EXPECT_EQ(told.find("kernels of ulmfit"), told.rfind("kernels of ulmfit")) << "once";
  }
  EXPECT_EQ(model::kernels_on(at::kCPU), nullptr);
}

TEST_F(Kernels, RefuseTensorsOfTheCpu) {
  const LauncherScope scope(device_.type(), launcher_);
  const at::Tensor there = at::zeros({4}, at::TensorOptions(device_));
  EXPECT_THROW(kernels::masked_copy(launcher_, {}, 0.5, there, at::zeros({4})), c10::Error);
  EXPECT_THROW(kernels::row_losses(launcher_, there.view({2, 2}), at::zeros({2}), at::zeros({2}, at::kLong), 1, false),
               c10::Error);
}

}  // namespace
}  // namespace ulmfit::test
