// Gives freed memory back to the system now and then: the allocator keeps what batches of varying length leave behind.
#pragma once

#include <functional>
#include <utility>

#include "base/machine.h"
#include "base/stopwatch.h"

namespace ulmfit::train {

class MemoryTrimmer {
 public:
  // The page faults after a trim cost some tenths of a second: one in half a minute is not felt.
  explicit MemoryTrimmer(double seconds_between = 30, std::function<void()> trim = return_freed_memory)
      : seconds_between_(seconds_between), trim_(std::move(trim)) {}

  void after_step() {
    if (watch_.seconds() < seconds_between_) return;
    trim_();
    watch_ = Stopwatch();
  }

 private:
  double seconds_between_;
  std::function<void()> trim_;
  Stopwatch watch_;
};

}  // namespace ulmfit::train
