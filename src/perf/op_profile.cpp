#include "perf/op_profile.h"

#include <ATen/record_function.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <string_view>
#include <thread>

#include "base/activity.h"
#include "base/error.h"
#include "base/stopwatch.h"

namespace ulmfit::perf {
namespace {

constexpr std::string_view kOwnPrefix = "ulmfit: ";  // of activities, among the names of operators

bool contains(const std::string& text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](auto word) { return text.find(word) != std::string::npos; });
}

// The moments of a timeline: on a CPU those of the caller, on a GPU those at which its stream comes to the place where it
// was told of them, for which nobody waits before all are read.
class Timeline {
 public:
  explicit Timeline(at::Device device) : device_(device) {}

  std::size_t mark() {
    if (device_.is_cpu()) {
      seconds_.push_back(watch_.seconds());
      return seconds_.size() - 1;
    }
    const c10::impl::VirtualGuardImpl device(device_.type());
    events_.emplace_back(device_.type(), c10::EventFlag::BACKEND_DEFAULT);  // which keeps the time
    events_.back().record(device.getStream(device_));
    return events_.size() - 1;
  }

  void await() const {
    if (!device_.is_cpu()) c10::impl::VirtualGuardImpl(device_.type()).synchronizeDevice(device_.index());
  }

  // After await(); `first` and `last` are of mark().
  double seconds(std::size_t first, std::size_t last) const {
    if (device_.is_cpu()) return seconds_[last] - seconds_[first];
    return events_[first].elapsedTime(events_[last]) / 1e3;
  }

 private:
  at::Device device_;
  Stopwatch watch_;
  std::vector<double> seconds_;
  std::vector<c10::Event> events_;
};

constexpr std::size_t kOpen = std::numeric_limits<std::size_t>::max();

// An operator or an activity, as often as it ran.
struct Span {
  std::string name;
  std::string activity = {};       // empty: that of the span around it
  const Activity* mark = nullptr;  // that it is; null: an operator
  std::size_t outer = kOpen;       // the span of this thread around it; kOpen: none
  std::size_t begin = 0, end = kOpen;
};

}  // namespace

struct OpProfile::Impl {
  explicit Impl(at::Device device) : timeline(device) {}

  void enter(std::vector<std::size_t>& stack, Span span) {
    const std::scoped_lock lock(mutex);
    if (!stack.empty()) span.outer = stack.back();
    if (span.activity.empty()) span.activity = stack.empty() ? "other" : spans[stack.back()].activity;
    stack.push_back(spans.size());
    spans.push_back(std::move(span));
    spans.back().begin = timeline.mark();
  }

  void leave(std::vector<std::size_t>& stack) {
    if (stack.empty()) return;  // began before the profile
    const std::scoped_lock lock(mutex);
    const std::size_t innermost = stack.back();
    stack.pop_back();
    spans[innermost].end = timeline.mark();
  }

  bool is_innermost(const std::vector<std::size_t>& stack, const Activity& activity) {
    const std::scoped_lock lock(mutex);
    return !stack.empty() && spans[stack.back()].mark == &activity;
  }

  // Time of each span less that of those directly within it, by name and by activity.
  ProfileResult summed(double seconds) const {
    std::vector<double> own(spans.size(), 0);
    for (std::size_t i = 0; i < spans.size(); ++i) {
      if (spans[i].end == kOpen) continue;  // it had not ended when the profile did
      const double whole = timeline.seconds(spans[i].begin, spans[i].end);
      own[i] += whole;
      if (spans[i].outer != kOpen && spans[spans[i].outer].end != kOpen) own[spans[i].outer] -= whole;
    }
    ProfileResult result;
    result.seconds = seconds;
    for (std::size_t i = 0; i < spans.size(); ++i) {
      result.by_activity[spans[i].activity] += own[i];
      result.by_operator[spans[i].name] += own[i];
    }
    return result;
  }

  void unlisten() const {
    at::removeCallback(handle);
    set_activity_listener(nullptr);
  }

  static std::uint64_t next_number() {
    static std::atomic<std::uint64_t> last = 0;
    return ++last;
  }

  const std::uint64_t number = next_number();  // of no other profile
  const std::thread::id maker = std::this_thread::get_id();
  std::mutex mutex;  // of what follows
  Timeline timeline;
  std::vector<Span> spans;
  std::size_t start = 0;  // of the profile
  at::CallbackHandle handle{};
};

namespace {

// Shared: an operator of another thread may be under way when the profile ends.
std::atomic<std::shared_ptr<OpProfile::Impl>> listening;

struct OpenSpans {
  std::uint64_t profile = 0;  // the number of the one that they belong to
  std::vector<std::size_t> stack;
};
thread_local OpenSpans open_spans;

struct Entered : at::ObserverContext {};  // of an operator that was counted when it began

// The profile that counts what begins on this thread now; null: none.
std::shared_ptr<OpProfile::Impl> counting_profile(bool backward) {
  std::shared_ptr<OpProfile::Impl> profile = listening.load();
  if (profile == nullptr) return nullptr;
  if (open_spans.profile != profile->number) open_spans = {profile->number, {}};
  // On another thread only what runs beneath a node of the gradients: what is read ahead is not the step's.
  const bool counts = std::this_thread::get_id() == profile->maker || !open_spans.stack.empty() || backward;
  return counts ? profile : nullptr;
}

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& fn) {
  const bool backward = fn.scope() == at::RecordScope::BACKWARD_FUNCTION;
  const std::shared_ptr<OpProfile::Impl> profile = counting_profile(backward);
  if (profile == nullptr) return nullptr;
  profile->enter(open_spans.stack, {.name = fn.name(), .activity = activity_of_operator(fn.name(), backward)});
  return std::make_unique<Entered>();
}

void on_end(const at::RecordFunction&, at::ObserverContext* context) {
  const std::shared_ptr<OpProfile::Impl> profile = listening.load();
  if (profile != nullptr && context != nullptr && open_spans.profile == profile->number) profile->leave(open_spans.stack);
}

// What the device reports while it is told of an event is for the operators to throw: an activity ends also while something
// is thrown, and the profile then misses it.
template <class Tell>
void quietly(Tell&& tell) noexcept {
  try {
    tell();
  } catch (const std::exception&) {
  }
}

void on_began(const Activity& activity) noexcept {
  quietly([&] {
    const std::shared_ptr<OpProfile::Impl> profile = counting_profile(/*backward=*/false);
    if (profile == nullptr) return;
    profile->enter(open_spans.stack,
                   {.name = str(kOwnPrefix, activity.name()), .activity = activity.name(), .mark = &activity});
  });
}

void on_ended(const Activity& activity) noexcept {
  quietly([&] {
    const std::shared_ptr<OpProfile::Impl> profile = listening.load();
    if (profile == nullptr || open_spans.profile != profile->number) return;
    if (profile->is_innermost(open_spans.stack, activity)) profile->leave(open_spans.stack);
  });
}

constexpr ActivityListener kActivityListener{on_began, on_ended};

}  // namespace

OpProfile::OpProfile(at::Device device) : impl_(std::make_shared<Impl>(device)) {
  open_spans = {};
  impl_->timeline.await();
  impl_->start = impl_->timeline.mark();
  listening = impl_;
  impl_->handle = at::addGlobalCallback(at::RecordFunctionCallback(&on_start, &on_end)
                                            .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  set_activity_listener(&kActivityListener);
}

OpProfile::~OpProfile() {
  if (listening.load() != impl_) return;
  impl_->unlisten();
  listening = std::shared_ptr<Impl>();
}

ProfileResult OpProfile::stop() {
  impl_->unlisten();
  listening = std::shared_ptr<Impl>();
  const std::scoped_lock lock(impl_->mutex);
  const std::size_t end = impl_->timeline.mark();
  impl_->timeline.await();
  ProfileResult result = impl_->summed(impl_->timeline.seconds(impl_->start, end));
  double seen = 0;
  double kernels = 0;
  for (const auto& [name, seconds] : result.by_operator) {
    seen += seconds;
    if (is_kernel(name)) kernels += seconds;
  }
  result.by_activity["other"] += std::max(result.seconds - seen, 0.0);
  result.outside_kernels = 1 - kernels / result.seconds;
  return result;
}

std::string activity_of_operator(const std::string& name, bool backward) {
  if (!backward) return "";
  if (contains(name, {"lstm", "Lstm", "LSTM", "rnn", "Rnn"})) return "LSTM backward";
  if (contains(name, {"CrossEntropy"})) return "head and loss";
  if (contains(name, {"Embed"})) return "embedding backward";
  if (contains(name, {"DropWeights"})) return "weight drop backward";
  return "other backward";
}

bool is_kernel(const std::string& name) {
  constexpr std::array<std::string_view, 12> kExact{"aten::mm",
                                                    "aten::addmm",
                                                    "aten::addmm_",
                                                    "aten::bmm",
                                                    "aten::baddbmm",
                                                    "aten::matmul",
                                                    "aten::linear",
                                                    "aten::_log_softmax",
                                                    "aten::_softmax",
                                                    "aten::_log_softmax_backward_data",
                                                    "ulmfit: head and loss",
                                                    "ulmfit: LSTM"};
  if (std::find(kExact.begin(), kExact.end(), name) != kExact.end()) return true;
  return contains(name, {"mkldnn_rnn", "_cudnn_rnn", "mkldnn_linear"}) ||
         (!name.starts_with(kOwnPrefix) && contains(name, {"Lstm", "LSTM"}));
}

std::vector<std::pair<std::string, double>> largest(const std::map<std::string, double>& seconds, std::size_t count) {
  std::vector<std::pair<std::string, double>> sorted(seconds.begin(), seconds.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  sorted.resize(std::min(sorted.size(), count));
  return sorted;
}

}  // namespace ulmfit::perf
