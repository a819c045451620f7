#include "train/training_clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/stopwatch.h"
#include "train/memory_trimmer.h"

namespace ulmfit::train {
namespace {

using namespace std::chrono_literals;

TEST(TrainingClock, APauseIsElapsedTimeButNoneOfTheLap) {
  TrainingClock clock;
  clock.set_earlier(100);
  clock.start();
  {
    const auto pause = clock.pause();
    std::this_thread::sleep_for(60ms);
  }
  EXPECT_GE(clock.elapsed_seconds(), 100.06);
  const double lap = clock.lap();
  EXPECT_LE(lap, clock.elapsed_seconds() - 100.06);
  std::this_thread::sleep_for(20ms);
  EXPECT_GE(clock.lap(), 0.02) << "the pause belongs to the lap before";
}

TEST(TrainingClock, WhatPassesBeforeTheStartIsNotTraining) {
  TrainingClock clock;
  std::this_thread::sleep_for(50ms);
  const Stopwatch since;
  clock.start();
  const double elapsed = clock.elapsed_seconds();
  EXPECT_LE(elapsed, since.seconds());
}

TEST(MemoryTrimmer, TrimsOnceAnIntervalAndNotBefore) {
  int trims = 0;
  MemoryTrimmer patient(3600, [&] { ++trims; });
  for (int step = 0; step < 1000; ++step) patient.after_step();
  EXPECT_EQ(trims, 0);
  MemoryTrimmer eager(0.02, [&] { ++trims; });
  std::this_thread::sleep_for(30ms);
  eager.after_step();
  EXPECT_EQ(trims, 1);
  for (int step = 0; step < 1000; ++step) eager.after_step();
  EXPECT_LT(trims, 500) << "the interval begins anew";
}

}  // namespace
}  // namespace ulmfit::train
