// What a thread is doing, marked once where the work is and read by whoever asks: the messages of a communicator that waits
// in vain, the profiler, and tests that stop a rank in the middle of something.
//
//   const Activity activity("all-reduce");
//
// Activities nest, and each thread has its own. A mark costs a few nanoseconds.
#pragma once

#include <cstdint>
#include <string>

namespace ulmfit {

class Activity {
 public:
  // `name` is a literal: it is kept by address.
  explicit Activity(const char* name);
  ~Activity();
  Activity(const Activity&) = delete;
  Activity& operator=(const Activity&) = delete;

  const char* name() const { return name_; }

 private:
  const char* name_;
  const Activity* outer_;
};

// The training step that this thread is in, while this lives. Steps do not nest.
class CurrentStep {
 public:
  explicit CurrentStep(std::int64_t step);
  ~CurrentStep();
  CurrentStep(const CurrentStep&) = delete;
  CurrentStep& operator=(const CurrentStep&) = delete;
};

// "step 12, all-reduce": step and innermost activity of this thread, as far as it has them; else empty.
std::string current_activity();

// Called on the thread that begins or ends an activity.
struct ActivityListener {
  void (*began)(const Activity&) noexcept = nullptr;
  void (*ended)(const Activity&) noexcept = nullptr;  // also for one that began before the listener was set
};

// One at a time; null: nobody. `listener` has static storage: another thread may be about to call it.
void set_activity_listener(const ActivityListener* listener);

}  // namespace ulmfit
