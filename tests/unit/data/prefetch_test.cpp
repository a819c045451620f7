#include "data/prefetch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

namespace ulmfit::data {
namespace {

using namespace std::chrono_literals;

// Counts 0 .. end-1, then ends.
std::function<std::optional<int>()> counter(int end, std::atomic<int>* made = nullptr) {
  return [next = 0, end, made]() mutable -> std::optional<int> {
    if (next == end) return std::nullopt;
    if (made != nullptr) ++*made;
    return next++;
  };
}

TEST(Prefetch, GivesItemsInOrderThenNothing) {
  for (const std::size_t depth : {1U, 2U, 7U, 5000U}) {
    Prefetch<int> prefetch(counter(1000), depth);
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(prefetch.next(), i);
    EXPECT_EQ(prefetch.next(), std::nullopt);
    EXPECT_EQ(prefetch.next(), std::nullopt);
  }
}

TEST(Prefetch, AnEmptySourceEndsAtOnce) {
  Prefetch<int> prefetch([] { return std::optional<int>(); }, 3);
  EXPECT_EQ(prefetch.next(), std::nullopt);
}

TEST(Prefetch, RethrowsAtItsPlaceInTheOrder) {
  Prefetch<int> prefetch(
      [next = 0]() mutable -> std::optional<int> {
        if (next == 5) throw std::runtime_error("shard 5 is broken");
        return next++;
      },
      3);
  for (int i = 0; i < 5; ++i) ASSERT_EQ(prefetch.next(), i);
  for (int again = 0; again < 2; ++again) {
    try {
      prefetch.next();
      FAIL();
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "shard 5 is broken");
    }
  }
}

TEST(Prefetch, AtMostDepthItemsWait) {
  std::atomic<int> made = 0;
  Prefetch<int> prefetch(counter(100, &made), 4);
  EXPECT_EQ(prefetch.next(), 0);
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(made, 5);  // the one taken and four that wait
}

TEST(Prefetch, DestructorNeverWaitsForAFullQueue) {
  for (int round = 0; round < 200; ++round) {
    Prefetch<std::unique_ptr<std::string>> prefetch([] { return std::optional(std::make_unique<std::string>(100, 'x')); },
                                                    2);
    if (round % 2 == 0) {
      EXPECT_EQ((*prefetch.next())->size(), 100U);
    }
    if (round % 3 == 0) std::this_thread::sleep_for(1ms);  // until it is full
  }
}

TEST(Prefetch, RunsTheProducerOnOneOtherThread) {
  Prefetch<std::thread::id> prefetch([] { return std::optional(std::this_thread::get_id()); }, 2);
  const auto id = *prefetch.next();
  EXPECT_NE(id, std::this_thread::get_id());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(*prefetch.next(), id);
}

TEST(Prefetch, CountsTheTimeSpentWaiting) {
  Prefetch<int> slow(
      [] {
        std::this_thread::sleep_for(20ms);
        return std::optional(1);
      },
      1);
  for (int i = 0; i < 3; ++i) slow.next();
  EXPECT_GT(slow.waited_seconds(), 0.03);

  Prefetch<int> fast(counter(3), 3);
  std::this_thread::sleep_for(50ms);
  for (int i = 0; i < 3; ++i) fast.next();
  EXPECT_LT(fast.waited_seconds(), 0.03);
}

TEST(Prefetch, DepthZeroIsRefused) { EXPECT_THROW(Prefetch<int>(counter(1), 0), ConfigError); }

}  // namespace
}  // namespace ulmfit::data
