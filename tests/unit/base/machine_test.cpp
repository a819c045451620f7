#include "base/machine.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/file.h"
#include "tests/support/temp_dir.h"

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
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);  // where the kernel gives huge pages unasked, a step needs a few hundred
  keep_freed_memory();
  EXPECT_GT(faults_of_a_step(), 10'000);
  EXPECT_LT(faults_of_a_step(), 100);
  const std::uint64_t kept = resident_bytes();
  return_freed_memory();
  EXPECT_LT(resident_bytes() + (50U << 20), kept);
  EXPECT_GT(faults_of_a_step(), 10'000);
}

#endif

class AvailableMemory : public ::testing::Test {
 protected:
  void put(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((root_ / file).parent_path());
    write_file_atomic(root_ / file, text);
  }
  std::uint64_t available() const { return available_memory_bytes(root_.path()); }
  test::TempDir root_;
};

TEST_F(AvailableMemory, IsWhatTheMachineHasFree) {
  put("proc/meminfo", "MemTotal:       100000 kB\nMemFree:          1000 kB\nMemAvailable:    50000 kB\n");
  EXPECT_EQ(available(), 50000U * 1024);
  put("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(available(), 50000U * 1024) << "a group without files";
}

TEST_F(AvailableMemory, IsWhatTheGroupsLeave) {
  put("proc/meminfo", "MemAvailable: 50000 kB\n");
  put("proc/self/cgroup", "0::/slurm/job\n");
  put("sys/fs/cgroup/slurm/job/memory.max", "max\n");
  put("sys/fs/cgroup/slurm/job/memory.current", "1000000\n");
  EXPECT_EQ(available(), 50000U * 1024);
  put("sys/fs/cgroup/slurm/job/memory.max", "10000000\n");
  EXPECT_EQ(available(), 9000000U);
  put("sys/fs/cgroup/slurm/job/memory.stat", "anon 5\ninactive_file 400000\n");
  EXPECT_EQ(available(), 9400000U) << "file cache is given up";
  put("sys/fs/cgroup/slurm/memory.max", "3000000\n");
  put("sys/fs/cgroup/slurm/memory.current", "4000000\n");
  EXPECT_EQ(available(), 0U) << "that of the group above";
}

TEST_F(AvailableMemory, IsWhatAGroupOfTheFirstVersionLeaves) {
  put("proc/meminfo", "MemAvailable: 50000 kB\n");
  put("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a\n");
  put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "8000000\n");
  put("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "3000000\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "9000000\n");
  EXPECT_EQ(available(), 5000000U);
}

TEST_F(AvailableMemory, OfThisMachineIsKnown) {
  EXPECT_GT(available_memory_bytes(), 1U << 20);
  EXPECT_LT(available_memory_bytes(), std::uint64_t{1} << 50);
}

TEST(CoreTimes, AreThoseOfEachThreadThatLives) {
  const test::TempDir tasks;
  EXPECT_TRUE(core_times(tasks.path() / "none").empty());
  for (const auto& [thread, times] : {std::pair("12", "100 7 3\n"), std::pair("13", "50 5 1\n")}) {
    std::filesystem::create_directories(tasks / thread);
    write_file_atomic(tasks / thread / "schedstat", times);
  }
  std::filesystem::create_directories(tasks / "14");  // has ended meanwhile, or a kernel that does not count
  const auto times = core_times(tasks.path());
  ASSERT_EQ(times.size(), 2U);
  EXPECT_EQ(times.at("12").running, 100U);
  EXPECT_EQ(times.at("13").waiting, 5U);
}

}  // namespace
}  // namespace ulmfit
