#include "stages/compute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"

namespace ulmfit::stages {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Precision, IsChosenByTheDeviceUnlessItIsGiven) {
  const at::Device gpu(at::kCUDA, 0);
  EXPECT_EQ(arithmetic_on(at::kCPU, Arithmetic::kAuto), Arithmetic::kFp32);
  EXPECT_EQ(arithmetic_on(gpu, Arithmetic::kAuto), Arithmetic::kTf32);
  for (const Arithmetic given : {Arithmetic::kFp32, Arithmetic::kTf32, Arithmetic::kBf16}) {
    EXPECT_EQ(arithmetic_on(gpu, given), given);
  }
  EXPECT_EQ(use_precision(Arithmetic::kAuto, at::kCPU), model::Precision::kFloat32);
}

TEST(ReproducibleKernels, TakeBothSettingsOfCublasThatAreDeterministicAndRefuseOthers) {
  constexpr const char* kVariable = "CUBLAS_WORKSPACE_CONFIG";
  for (const char* good : {":16:8", ":4096:8"}) {
    ::setenv(kVariable, good, 1);
    EXPECT_NO_THROW(reproducible_kernels(true, at::kCUDA)) << good;
    EXPECT_STREQ(std::getenv(kVariable), good) << "the user's own stays";
  }
  ::setenv(kVariable, ":0:0", 1);
  EXPECT_NO_THROW(reproducible_kernels(true, at::kCPU));
  EXPECT_NO_THROW(reproducible_kernels(false, at::kCUDA));
  EXPECT_THAT([] { reproducible_kernels(true, at::kCUDA); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("CUBLAS_WORKSPACE_CONFIG=:4096:8 or :16:8"), HasSubstr(":0:0"))));
  ::unsetenv(kVariable);
  reproducible_kernels(false, at::kCPU);
  EXPECT_STREQ(std::getenv(kVariable), ":4096:8");
}

}  // namespace
}  // namespace ulmfit::stages
