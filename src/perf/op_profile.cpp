#include "perf/op_profile.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/stopwatch.h"

namespace ulmfit::perf {
namespace {

constexpr std::string_view kScopePrefix = "ulmfit: ";

bool contains(const std::string& text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](auto word) { return text.find(word) != std::string::npos; });
}

}  // namespace

struct OpProfile::Impl {
  struct Frame {
    Stopwatch watch;
    double children = 0;
    std::string name;
    std::string phase;
  };
  std::vector<Frame> stack;
  ProfileFigures figures;
  Stopwatch watch;
  at::CallbackHandle handle{};

  void enter(const at::RecordFunction& fn) {
    Frame frame;
    frame.name = fn.name();
    if (frame.name.starts_with(kScopePrefix)) {
      frame.phase = frame.name.substr(kScopePrefix.size());
    } else {
      frame.phase = phase_of_operator(frame.name, fn.scope() == at::RecordScope::BACKWARD_FUNCTION);
    }
    if (frame.phase.empty()) frame.phase = stack.empty() ? "other" : stack.back().phase;
    stack.push_back(std::move(frame));
    stack.back().watch = Stopwatch();
  }

  void leave() {
    if (stack.empty()) return;  // began before the profile
    const double whole = stack.back().watch.seconds();
    const Frame frame = std::move(stack.back());
    stack.pop_back();
    const double own = whole - frame.children;
    figures.by_phase[frame.phase] += own;
    figures.by_operator[frame.name] += own;
    if (!stack.empty()) stack.back().children += whole;
  }
};

namespace {

thread_local OpProfile::Impl* listening = nullptr;

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& fn) {
  if (listening != nullptr) listening->enter(fn);
  return nullptr;
}

void on_end(const at::RecordFunction&, at::ObserverContext*) {
  if (listening != nullptr) listening->leave();
}

}  // namespace

OpProfile::OpProfile() : impl_(std::make_unique<Impl>()) {
  listening = impl_.get();
  impl_->handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(&on_start, &on_end)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE}));
  impl_->watch = Stopwatch();
}

OpProfile::~OpProfile() {
  if (listening == impl_.get()) stop();
}

ProfileFigures OpProfile::stop() {
  ProfileFigures& figures = impl_->figures;
  figures.seconds = impl_->watch.seconds();
  at::removeCallback(impl_->handle);
  listening = nullptr;
  double seen = 0;
  double kernels = 0;
  for (const auto& [name, seconds] : figures.by_operator) {
    seen += seconds;
    if (is_kernel(name)) kernels += seconds;
  }
  figures.by_phase["other"] += std::max(figures.seconds - seen, 0.0);
  figures.outside_kernels = 1 - kernels / figures.seconds;
  return figures;
}

std::string phase_of_operator(const std::string& name, bool backward) {
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
         (!name.starts_with(kScopePrefix) && contains(name, {"Lstm", "LSTM"}));
}

std::vector<std::pair<std::string, double>> largest(const std::map<std::string, double>& seconds, std::size_t count) {
  std::vector<std::pair<std::string, double>> sorted(seconds.begin(), seconds.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  sorted.resize(std::min(sorted.size(), count));
  return sorted;
}

}  // namespace ulmfit::perf
