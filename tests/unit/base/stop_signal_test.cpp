#include "base/stop_signal.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

namespace ulmfit {
namespace {

bool blocked(int number) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, number) == 1;
}

// A handler on the stack of a thread that runs oneDNN's kernels corrupts the heap; so none may run there.
TEST(StopSignal, IsSeenWithoutAHandlerOnTheThreadsThatCompute) {
  const StopSignalScope scope(/*under_launcher=*/true);
  bool in_later_thread = false;
  std::thread([&] { in_later_thread = blocked(SIGUSR2); }).join();
  EXPECT_TRUE(blocked(SIGUSR2));
  EXPECT_TRUE(in_later_thread);
  EXPECT_FALSE(blocked(SIGTERM)) << "left to the launcher";

  EXPECT_FALSE(stop_requested());
  ::kill(::getpid(), SIGUSR2);
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!stop_requested() && std::chrono::steady_clock::now() < limit)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(stop_requested());
}

// Each in a process started afresh.
class StopSignalDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(StopSignalDeathTest, ASecondOneEndsTheProcessAtOnce) {
  EXPECT_EXIT(
      {
        const StopSignalScope scope(/*under_launcher=*/false);
        ::kill(::getpid(), SIGTERM);
        while (!stop_requested()) std::this_thread::yield();
        ::kill(::getpid(), SIGTERM);
        std::this_thread::sleep_for(std::chrono::seconds(10));
      },
      testing::ExitedWithCode(128 + SIGTERM), "");
}

TEST_F(StopSignalDeathTest, IsSeenAlsoWhereTheParentHadItIgnored) {
  EXPECT_EXIT(
      {
        std::signal(SIGINT, SIG_IGN);
        const StopSignalScope scope(/*under_launcher=*/false);
        ::kill(::getpid(), SIGINT);
        while (!stop_requested()) std::this_thread::yield();
        ::_exit(75);
      },
      testing::ExitedWithCode(75), "");
}

// What runs outside of training does not look at the request.
TEST_F(StopSignalDeathTest, OutsideOfAScopeItEndsTheProcess) {
  EXPECT_EXIT(
      {
        { const StopSignalScope scope(/*under_launcher=*/false); }
        ::kill(::getpid(), SIGUSR2);
        std::this_thread::sleep_for(std::chrono::seconds(10));
      },
      testing::ExitedWithCode(128 + SIGUSR2), "");
}

TEST_F(StopSignalDeathTest, AScopeAfterAnotherAsksAgain) {
  EXPECT_EXIT(
      {
        { const StopSignalScope scope(/*under_launcher=*/false); }
        const StopSignalScope scope(/*under_launcher=*/false);
        ::kill(::getpid(), SIGUSR2);
        while (!stop_requested()) std::this_thread::yield();
        ::_exit(75);
      },
      testing::ExitedWithCode(75), "");
}

}  // namespace
}  // namespace ulmfit
