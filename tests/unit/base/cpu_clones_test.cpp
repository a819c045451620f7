#include "base/cpu_clones.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "base/machine.h"

namespace ulmfit {
namespace {

__attribute__((always_inline)) inline void add(int* sum, int a, int b) { *sum = a + b; }

TEST(CpuClones, RunTheBodyWhateverTheLevel) {
  int sum = 0;
  run_cpu_clone<add>(&sum, 2, 3);
  EXPECT_EQ(sum, 5);
}

// Each in a process started afresh: the level is chosen once.
class CpuLevelDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  [[noreturn]] static void leave_with_level(const char* wanted) {
    ::setenv("ULMFIT_CPU_CAPABILITY", wanted, 1);
    try {
      std::exit(10 + static_cast<int>(cpu_level()));
    } catch (const ConfigError& e) {
      std::fputs(e.what(), stderr);
      std::exit(static_cast<int>(e.code()));
    }
  }
};

TEST_F(CpuLevelDeathTest, IsLoweredByTheEnvironment) {
  EXPECT_EXIT(leave_with_level("default"), testing::ExitedWithCode(10), "");
  if (cpu_has("avx2")) {
    EXPECT_EXIT(leave_with_level("avx2"), testing::ExitedWithCode(11), "");
  }
}

TEST_F(CpuLevelDeathTest, RefusesWhatItDoesNotKnowOrTheMachineDoesNotHave) {
  EXPECT_EXIT(leave_with_level("avx3"), testing::ExitedWithCode(2), "avx3: expected default, avx2 or avx512");
  if (!cpu_has("avx512f")) {
    EXPECT_EXIT(leave_with_level("avx512"), testing::ExitedWithCode(2), "does not have these instructions");
  }
}

}  // namespace
}  // namespace ulmfit
