#include "stages/shared_cores.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/machine.h"

namespace ulmfit::stages {
namespace {

// What the detector says after each second in which two threads waited so many percent.
std::vector<bool> said(std::initializer_list<int> waited) {
  SharingDetector detector;
  std::map<std::string, CoreTime> times{{"1", {.running = 5'000'000'000, .waiting = 3'000'000'000}}, {"2", {}}};
  EXPECT_FALSE(detector.shared(times)) << "the times before the first second say nothing";
  std::vector<bool> all;
  for (const int percent : waited) {
    for (auto& item : times) {
      item.second.waiting += static_cast<std::uint64_t>(percent) * 10'000'000;
      item.second.running += static_cast<std::uint64_t>(100 - percent) * 10'000'000;
    }
    all.push_back(detector.shared(times));
  }
  return all;
}

TEST(SharingDetector, NeedsTwoSecondsOfATenthToBeginAndFiveQuietOnesToEnd) {
  EXPECT_EQ(said({0, 11, 9, 11, 11, 50, 4, 4}), (std::vector<bool>{false, false, false, false, true, true, true, true}));
  EXPECT_EQ(said({50, 50, 4, 4, 4, 4, 4, 9}), (std::vector<bool>{false, true, true, true, true, true, false, false}));
  EXPECT_EQ(said({50, 50, 4, 4, 4, 4, 6, 4}), (std::vector<bool>{false, true, true, true, true, true, true, true}));
}

TEST(SharingDetector, ThreadsThatEndOrBeginChangeNothing) {
  SharingDetector detector;
  std::map<std::string, CoreTime> times{{"1", {.running = 100, .waiting = 1}}, {"2", {.running = 9000, .waiting = 9000}}};
  for (int second = 0; second < 4; ++second) {
    EXPECT_FALSE(detector.shared(times)) << second;
    times.erase("2");  // and with it the larger part of the sums
    times["1"].running += 100;
    times["new" + std::to_string(second)].running = 100;
  }
  SharingDetector idle;
  for (int second = 0; second < 4; ++second) EXPECT_FALSE(idle.shared(times)) << "nothing ran";
}

// The time on a core, in milliseconds, of a team of two whose second thread comes 20 ms late to each of ten loops.
double busy_milliseconds() {
  const auto running = [] {
    std::uint64_t sum = 0;
    for (const auto& item : core_times()) sum += item.second.running;
    return sum;
  };
  const std::uint64_t before = running();
  for (int loop = 0; loop < 10; ++loop) {
    at::parallel_for(0, 2, 1, [](std::int64_t begin, std::int64_t) {
      if (begin > 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    });
  }
  return static_cast<double>(running() - before) / 1e6;
}

class SpinningThreads : public testing::Test {
 protected:
  void SetUp() override {
    if (core_times().empty()) GTEST_SKIP() << "this kernel does not count the time of threads (schedstat)";
    if (available_cores() < 2) GTEST_SKIP() << "on one core libgomp never spins for long";
    if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) {
      GTEST_SKIP() << "the environment says how long threads spin";
    }
  }
};

TEST_F(SpinningThreads, SleepWhileThereIsAnIdleTeam) {
  at::set_num_threads(2);
  busy_milliseconds();  // starts the team
  const double spinning = busy_milliseconds();
  double sleeping = 0;
  {
    const IdleTeam idle(available_cores() + 1);
    sleeping = busy_milliseconds();
  }
  const double spinning_again = busy_milliseconds();
  EXPECT_LT(sleeping * 3, spinning) << "ms on cores; with another OpenMP library than GNU's nothing changes";
  EXPECT_LT(sleeping * 3, spinning_again);
}

std::ptrdiff_t thread_count() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

TEST_F(SpinningThreads, AreNotWatchedIfThereIsOneOrWhereTheUserHasChosen) {
  at::set_num_threads(2);
  busy_milliseconds();  // libtorch's own threads
  const std::ptrdiff_t before = thread_count();
  {
    const SharedCores one(1);
    EXPECT_EQ(thread_count(), before);
  }
  for (const char* variable : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}) {
    ::setenv(variable, "ACTIVE", 1);
    const SharedCores chosen(2);
    EXPECT_EQ(thread_count(), before) << variable;
    ::unsetenv(variable);
  }
  const SharedCores watch(2);
  EXPECT_EQ(thread_count(), before + 1);
}

TEST_F(SpinningThreads, GetAnIdleTeamWhenTheyAreKeptWaiting) {
  std::atomic<bool> ended = false;
  std::vector<std::thread> neighbours;  // of this process: their waiting counts as well
  for (int i = 0; i < 3 * available_cores(); ++i) {
    neighbours.emplace_back([&] {
      while (!ended) {
      }
    });
  }
  const std::ptrdiff_t before = thread_count();
  {
    const SharedCores watch(available_cores());
    const auto start = std::chrono::steady_clock::now();
    // The watch itself, and a team of one more than the cores.
    const std::ptrdiff_t with_team = before + 1 + available_cores() + 1;
    int seen = 0;  // in a row: other threads are tried before it
    while (seen < 4 && std::chrono::steady_clock::now() - start < std::chrono::seconds(30)) {
      seen = thread_count() == with_team ? seen + 1 : 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    EXPECT_EQ(seen, 4);
  }
  ended = true;
  for (std::thread& neighbour : neighbours) neighbour.join();
}

}  // namespace
}  // namespace ulmfit::stages
