#include "base/machine.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <cstring>
#include <memory>

namespace ulmfit {
namespace {

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they bring an allocator of their own

long page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

struct Free {
  void operator()(void* block) const { std::free(block); }
};

// As a step does: takes blocks of several sizes, writes them, frees them. Returns the page faults.
long faults_of_a_step() {
  const long before = page_faults();
  for (const std::size_t megabytes : {60U, 40U, 1U}) {
    const std::unique_ptr<void, Free> block(std::malloc(megabytes << 20));
    std::memset(block.get(), 1, megabytes << 20);
    EXPECT_EQ(static_cast<char*>(block.get())[megabytes], 1);
  }
  return page_faults() - before;
}

TEST(Machine, FreedMemoryIsUsedAgainWithoutPageFaultsUntilItIsReturned) {
  keep_freed_memory();
  EXPECT_GT(faults_of_a_step(), 10'000);
  EXPECT_LT(faults_of_a_step(), 100);
  const std::uint64_t kept = resident_bytes();
  return_freed_memory();
  EXPECT_LT(resident_bytes() + (50U << 20), kept);
  EXPECT_GT(faults_of_a_step(), 10'000);
}

#endif

}  // namespace
}  // namespace ulmfit
