#include "perf/op_profile.h"

#include <ATen/record_function.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
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

}  // namespace

struct OpProfile::Impl {
  struct Frame {
    std::string name;
    std::string activity = {};       // empty: that of the frame around it
    const Activity* mark = nullptr;  // that it is; null: an operator
    Stopwatch watch = {};
    double children = 0;
  };

  explicit Impl(at::Device where) : device(where) {}

  void await_device() const {
    if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
  }

  void enter(std::vector<Frame>& stack, Frame frame) const {
    if (frame.activity.empty()) frame.activity = stack.empty() ? "other" : stack.back().activity;
    await_device();
    stack.push_back(std::move(frame));
    stack.back().watch = Stopwatch();
  }

  void leave(std::vector<Frame>& stack) {
    if (stack.empty()) return;  // began before the profile
    await_device();
    const double whole = stack.back().watch.seconds();
    const Frame frame = std::move(stack.back());
    stack.pop_back();
    const double own = whole - frame.children;
    if (!stack.empty()) stack.back().children += whole;
    const std::scoped_lock lock(mutex);
    result.by_activity[frame.activity] += own;
    result.by_operator[frame.name] += own;
  }

  const at::Device device;
  const std::thread::id maker = std::this_thread::get_id();
  std::mutex mutex;  // of the result
  ProfileResult result;
  Stopwatch watch;
  at::CallbackHandle handle{};
};

namespace {

// Shared: an operator of another thread may be under way when the profile ends.
std::atomic<std::shared_ptr<OpProfile::Impl>> listening;

struct OpenFrames {
  const OpProfile::Impl* profile = nullptr;  // that they belong to
  std::vector<OpProfile::Impl::Frame> stack;
};
thread_local OpenFrames open_frames;

struct Entered : at::ObserverContext {};  // of an operator that was counted when it began

// The profile that counts what begins on this thread now; null: none.
std::shared_ptr<OpProfile::Impl> counting_profile(bool backward) {
  std::shared_ptr<OpProfile::Impl> profile = listening.load();
  if (profile == nullptr) return nullptr;
  if (open_frames.profile != profile.get()) open_frames = {profile.get(), {}};
  // On another thread only what runs beneath a node of the gradients: what is read ahead is not the step's.
  const bool counts = std::this_thread::get_id() == profile->maker || !open_frames.stack.empty() || backward;
  return counts ? profile : nullptr;
}

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& fn) {
  const bool backward = fn.scope() == at::RecordScope::BACKWARD_FUNCTION;
  const std::shared_ptr<OpProfile::Impl> profile = counting_profile(backward);
  if (profile == nullptr) return nullptr;
  profile->enter(open_frames.stack, {.name = fn.name(), .activity = activity_of_operator(fn.name(), backward)});
  return std::make_unique<Entered>();
}

void on_end(const at::RecordFunction&, at::ObserverContext* context) {
  const std::shared_ptr<OpProfile::Impl> profile = listening.load();
  if (profile != nullptr && context != nullptr && open_frames.profile == profile.get()) profile->leave(open_frames.stack);
}

// What the device reports while it is awaited is for the operators to throw: an activity ends also while something is
// thrown, and the profile then misses it.
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
    profile->enter(open_frames.stack,
                   {.name = str(kOwnPrefix, activity.name()), .activity = activity.name(), .mark = &activity});
  });
}

void on_ended(const Activity& activity) noexcept {
  quietly([&] {
    const std::shared_ptr<OpProfile::Impl> profile = listening.load();
    if (profile == nullptr || open_frames.profile != profile.get()) return;
    const bool counted = !open_frames.stack.empty() && open_frames.stack.back().mark == &activity;
    if (counted) profile->leave(open_frames.stack);
  });
}

constexpr ActivityListener kActivityListener{on_began, on_ended};

}  // namespace

OpProfile::OpProfile(at::Device device) : impl_(std::make_shared<Impl>(device)) {
  open_frames = {};
  listening = impl_;
  impl_->handle = at::addGlobalCallback(at::RecordFunctionCallback(&on_start, &on_end)
                                            .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  set_activity_listener(&kActivityListener);
  impl_->await_device();
  impl_->watch = Stopwatch();
}

OpProfile::~OpProfile() {
  if (listening.load() == impl_) stop();
}

ProfileResult OpProfile::stop() {
  impl_->await_device();
  const double seconds = impl_->watch.seconds();
  at::removeCallback(impl_->handle);
  set_activity_listener(nullptr);
  listening = std::shared_ptr<Impl>();
  const std::scoped_lock lock(impl_->mutex);
  ProfileResult& result = impl_->result;
  result.seconds = seconds;
  double seen = 0;
  double kernels = 0;
  for (const auto& [name, operator_seconds] : result.by_operator) {
    seen += operator_seconds;
    if (is_kernel(name)) kernels += operator_seconds;
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
