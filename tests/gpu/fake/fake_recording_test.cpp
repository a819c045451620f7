#include "tests/gpu/fake/fake_recording.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "kernels/masks.h"
#include "model/to_device.h"
#include "tests/gpu/fake/fake_device.h"
#include "tests/support/model_checks.h"

namespace ulmfit::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class FakeRecordings : public ::testing::Test {
 protected:
  void SetUp() override { launcher_.prepare_to_record(); }
  at::Tensor zeros(at::IntArrayRef shape) const { return at::zeros(shape, at::TensorOptions(device_)); }

  const at::Device device_ = fake_device();
  RecordingLauncher launcher_;
};

TEST_F(FakeRecordings, ComputeNothingUntilTheyAreStarted) {
  at::Tensor in = zeros({2, 3}).fill_(2).requires_grad_(true);
  in.mutable_grad() = zeros({2, 3});
  at::Tensor out = zeros({2});
  at::Tensor made;
  const auto recording = launcher_.record([&] {
    made = in * in;
    torch::autograd::backward({made.sum()}, {});
    const at::NoGradGuard no_grad;
    out[1].add_(made.narrow(0, 1, 1).sum());
  });
  EXPECT_TRUE(out.cpu().equal(at::zeros({2})));
  EXPECT_TRUE(in.grad().cpu().equal(at::zeros({2, 3})));
  EXPECT_TRUE(made.cpu().isnan().all().item<bool>());
  recording->start();
  EXPECT_TRUE(out.cpu().equal(at::tensor({0.0F, 12.0F})));
  EXPECT_TRUE(in.grad().cpu().equal(at::full({2, 3}, 4.0F)));
  {
    const at::NoGradGuard no_grad;
    in.fill_(3);
  }
  made.reset();  // the recording keeps its memory
  recording->start();
  EXPECT_TRUE(out.cpu().equal(at::tensor({0.0F, 39.0F})));
  EXPECT_TRUE(in.grad().cpu().equal(at::full({2, 3}, 10.0F)));
}

TEST_F(FakeRecordings, StartKernelsWithTheArgumentsThatTheyHad) {
  const at::Tensor mask = zeros({40}), clock = zeros({1}).to(at::kLong), ones = zeros({40}).fill_(1);
  RandomKey key{7, Purpose::kWeightDropout, 0, 2};
  const auto recording = launcher_.record([&] {
    const kernels::ClockScope scope(launcher_, clock.const_data_ptr());
    kernels::masked_copy(launcher_, key, 0.4, ones, mask);
  });
  EXPECT_TRUE(mask.cpu().equal(at::zeros({40})));
  for (const std::int64_t step : {5L, (1L << 33) + 1}) {
    clock.fill_(step);
    recording->start();
    key.step = static_cast<std::uint64_t>(step);
    EXPECT_TRUE(same_bits(mask.cpu(), mask_of_host(key, 0.4, 40))) << step;
  }
}

TEST_F(FakeRecordings, RefuseWhatAGpuRefuses) {
  const at::Tensor there = zeros({4});
  const auto refused = [&](const std::function<void()>& work, const char* what) {
    EXPECT_THAT([&] { launcher_.record(work); }, ThrowsMessage<c10::Error>(HasSubstr(what)));
  };
  refused([&] { static_cast<void>(there.sum().item<float>()); }, "refuses aten::_local_scalar_dense");
  refused([&] { static_cast<void>(there.nonzero()); }, "refuses aten::nonzero");
  refused([&] { static_cast<void>(model::to_device(at::ones({4}), device_)); }, "a copy between host and device");
  EXPECT_NO_THROW(static_cast<void>(there.cpu())) << "nothing is recorded any more";
}

}  // namespace
}  // namespace ulmfit::test
