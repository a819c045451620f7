// The device of the GPU tests: the first CUDA device, or where there is none a skipped test. ULMFIT_TEST_DEVICE=cpu runs
// them against the CPU itself, which proves the tests and not the GPU.
#pragma once

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

#include "stages/compute.h"

namespace ulmfit::test {

inline bool on_cpu() {
  const char* chosen = std::getenv("ULMFIT_TEST_DEVICE");
  return chosen != nullptr && std::string_view(chosen) == "cpu";
}

class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    // Before the first use of the GPU by any test: cuBLAS keeps what it then finds, for the tests that come later too.
    stages::reproducible_kernels(false, device_.type());
    if (!on_cpu() && !at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  }
  const at::Device device_ = on_cpu() ? at::Device(at::kCPU) : at::Device(at::kCUDA, 0);
};

}  // namespace ulmfit::test
