// The time of a run over all its starts, and of its training alone.
#pragma once

#include "base/stopwatch.h"

namespace ulmfit::train {

class TrainingClock {
 public:
  // This start begins now; the ones before it took `earlier` seconds.
  void start() {
    whole_ = Stopwatch();
    lap_ = Stopwatch();
    paused_ = 0;
  }
  void set_earlier(double seconds) { earlier_ = seconds; }

  // Seconds of this start and of all before it, pauses included: what a user has waited for.
  double elapsed_seconds() const { return earlier_ + whole_.seconds(); }

  // Seconds since the last lap or the start, pauses not included.
  double lap() {
    const double seconds = lap_.lap() - paused_;
    paused_ = 0;
    return seconds;
  }

  // While the timer lives, time is no time of training.
  ScopedTimer pause() { return ScopedTimer(paused_); }

 private:
  double earlier_ = 0;
  Stopwatch whole_;
  Stopwatch lap_;
  double paused_ = 0;  // of the lap
};

}  // namespace ulmfit::train
