// The setting of base/machine.h that only torch can show.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "base/machine.h"

namespace ulmfit {
namespace {

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they bring an allocator of their own

bool kernel_has_huge_pages() {
  std::string modes;
  std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled"), modes);
  return !modes.empty() && modes.find("[never]") == std::string::npos;
}

// True if huge pages were asked for the mapping in which `address` lies; whether memory has any is not known.
bool asked_for_huge_pages(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    if (words >> std::hex >> begin >> dash >> end && dash == '-') {
      const auto at = reinterpret_cast<std::uintptr_t>(address);
      inside = begin <= at && at < end;
    }
    if (inside && line.starts_with("VmFlags:")) return line.find(" hg") != std::string::npos;
  }
  return false;
}

// In a process of its own: torch looks at its setting once.
TEST(MachineDeathTest, LargeTensorsLieInHugePagesAndGoBackToTheKernel) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  constexpr std::uint64_t kBytes = 64 << 20;
  const auto run = [&] {
    use_huge_pages();
    const std::uint64_t before = resident_bytes();
    at::Tensor tensor = at::ones({kBytes / 4}, at::kFloat);
    const bool asked = asked_for_huge_pages(static_cast<char*>(tensor.mutable_data_ptr()) + kBytes / 2);
    const bool there = resident_bytes() > before + kBytes / 2;
    tensor.reset();
    const bool returned = resident_bytes() < before + kBytes / 2;
    std::exit(asked == kernel_has_huge_pages() && there && returned ? 0 : 1);
  };
  EXPECT_EXIT(run(), ::testing::ExitedWithCode(0), "");
}

#endif

}  // namespace
}  // namespace ulmfit
