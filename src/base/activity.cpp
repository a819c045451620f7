#include "base/activity.h"

#include <atomic>

namespace ulmfit {
namespace {

constexpr std::int64_t kNoStep = -1;

thread_local const Activity* innermost = nullptr;
thread_local std::int64_t step_of_thread = kNoStep;
std::atomic<const ActivityListener*> listening{nullptr};

}  // namespace

Activity::Activity(const char* name) : name_(name), outer_(innermost) {
  innermost = this;
  if (const ActivityListener* listener = listening.load(std::memory_order_acquire)) listener->began(*this);
}

Activity::~Activity() {
  if (const ActivityListener* listener = listening.load(std::memory_order_acquire)) listener->ended(*this);
  innermost = outer_;
}

CurrentStep::CurrentStep(std::int64_t step) { step_of_thread = step; }
CurrentStep::~CurrentStep() { step_of_thread = kNoStep; }

std::string current_activity() {
  std::string text;
  if (step_of_thread != kNoStep) text = "step " + std::to_string(step_of_thread);
  if (innermost != nullptr) text += (text.empty() ? "" : ", ") + std::string(innermost->name());
  return text;
}

void set_activity_listener(const ActivityListener* listener) { listening.store(listener, std::memory_order_release); }

}  // namespace ulmfit
