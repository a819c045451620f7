// The device of the GPU tests: the first CUDA device, or where there is none a skipped test. ULMFIT_TEST_DEVICE=cpu runs
// them against the CPU itself, which proves the tests and not the GPU. The program fake_gpu_test runs them on a device that
// is none (fake/fake_device.h), which proves that all tensors are where they belong; with ULMFIT_TEST_KERNELS=1 our
// kernels, run by the host, compute there.
#pragma once

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string_view>

#include "stages/compute.h"
#if ULMFIT_FAKE_DEVICE
#include "tests/gpu/fake/fake_device.h"
#include "tests/gpu/fake/fake_recording.h"
#endif

namespace ulmfit::test {

inline at::Device device_of_tests() {
#if ULMFIT_FAKE_DEVICE
  return fake_device();
#else
  const char* chosen = std::getenv("ULMFIT_TEST_DEVICE");
  if (chosen != nullptr && std::string_view(chosen) == "cpu") return at::kCPU;
  return {at::kCUDA, 0};
#endif
}

class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
#if ULMFIT_FAKE_DEVICE
    if (std::getenv("ULMFIT_TEST_KERNELS") != nullptr) scope_.emplace(device_.type(), launcher_);
#endif
    // Before the first use of the GPU by any test: cuBLAS keeps what it then finds, for the tests that come later too.
    stages::reproducible_kernels(false, device_.type());
    if (device_.is_cuda() && !at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  }
  const at::Device device_ = device_of_tests();
#if ULMFIT_FAKE_DEVICE
  RecordingLauncher launcher_;
  std::optional<LauncherScope> scope_;
#endif
};

}  // namespace ulmfit::test
