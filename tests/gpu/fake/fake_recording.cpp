#include "tests/gpu/fake/fake_recording.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

namespace ulmfit::test {
namespace {

struct Memory {
  std::mutex mutex;
  struct Piece {
    std::size_t bytes = 0;
    std::int64_t number = 0;  // in the order in which they began
    int owners = 0;           // more than one: an operator returned its argument's memory
  };
  std::map<const void*, Piece> pieces;
  std::int64_t begun = 0;
};

Memory& memory() {
  static auto* all = new Memory;  // tensors may end after the program's static objects
  return *all;
}

// While it lives, the device computes nothing that stays: at its end the memory that it had is as before, and what began
// since holds no numbers.
class NothingComputed {
 public:
  NothingComputed() : first_(memory().begun) {
    const std::scoped_lock lock(memory().mutex);
    for (const auto& [at, piece] : memory().pieces) {
      const auto* bytes = static_cast<const std::byte*>(at);
      before_.emplace(piece.number, std::vector<std::byte>(bytes, bytes + piece.bytes));
    }
  }
  ~NothingComputed() {
    const std::scoped_lock lock(memory().mutex);
    for (const auto& [at, piece] : memory().pieces) {
      if (const auto found = before_.find(piece.number); found != before_.end()) {
        std::memcpy(const_cast<void*>(at), found->second.data(), piece.bytes);
      } else if (piece.number >= first_) {
        std::memset(const_cast<void*>(at), 0xFF, piece.bytes);
      }
    }
  }
  NothingComputed(const NothingComputed&) = delete;
  NothingComputed& operator=(const NothingComputed&) = delete;

 private:
  std::int64_t first_;
  std::map<std::int64_t, std::vector<std::byte>> before_;
};

// Into the memory of what an operator returned when it was recorded. One that wrote into its arguments, or returned a view
// of them, has done so.
void put(const c10::IValue& from, const c10::IValue& into) {
  if (into.isTensor()) {
    const at::Tensor &source = from.toTensor(), &target = into.toTensor();
    if (target.defined() && source.const_data_ptr() != target.const_data_ptr()) target.copy_(source);
  } else if (into.isTensorList()) {
    const auto sources = from.toTensorVector(), targets = into.toTensorVector();
    for (std::size_t i = 0; i < targets.size(); ++i) put(sources[i], targets[i]);
  }
}

class FakeRecording : public kernels::Recording {
 public:
  FakeRecording(std::vector<std::shared_ptr<void>> memory, std::vector<std::function<void()>> computations, int& starts)
      : memory_(std::move(memory)), computations_(std::move(computations)), starts_(starts) {}
  void start() override {
    const at::NoGradGuard no_grad;
    ++starts_;
    for (const auto& compute : computations_) compute();
  }

 private:
  std::vector<std::shared_ptr<void>> memory_;
  std::vector<std::function<void()>> computations_;
  int& starts_;
};

}  // namespace

std::atomic<Recorder*> Recorder::active_ = nullptr;

void Recorder::add(std::function<void()> computation) {
  const std::scoped_lock lock(mutex_);
  computations_.push_back(std::move(computation));
}

void Recorder::add(const c10::OperatorHandle& op, torch::jit::Stack arguments, torch::jit::Stack results,
                   std::vector<at::Tensor> kept) {
  add([op, arguments = std::move(arguments), results = std::move(results), kept = std::move(kept)] {
    torch::jit::Stack stack = arguments;
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &stack);
    for (std::size_t i = 0; i < results.size(); ++i) put(stack[i], results[i]);
  });
}

void Recorder::keep(void* memory) {
  const std::scoped_lock lock(mutex_);
  memory_.emplace_back(memory, &std::free);
}

void Recorder::refuse(const std::string& what) { TORCH_CHECK(false, "the device is recording, and refuses ", what); }

void memory_begins(const void* at, std::size_t bytes) {
  const std::scoped_lock lock(memory().mutex);
  Memory::Piece& piece = memory().pieces[at];
  if (piece.owners++ == 0) piece.number = memory().begun++;
  piece.bytes = std::max(piece.bytes, bytes);
}

void memory_ends(const void* at) {
  const std::scoped_lock lock(memory().mutex);
  const auto found = memory().pieces.find(at);
  if (found != memory().pieces.end() && --found->second.owners == 0) memory().pieces.erase(found);
}

void RecordingLauncher::launch(const char* kernel, unsigned blocks, void** arguments) {
  HostLauncher::launch(kernel, blocks, arguments);
  Recorder* recorder = Recorder::active();
  if (recorder == nullptr) return;
  recorder->add([this, name = std::string(kernel), blocks, kept = kept_arguments(kernel, arguments)]() mutable {
    std::vector<void*> places;
    for (auto& value : kept) places.push_back(value.data());
    HostLauncher::launch(name.c_str(), blocks, places.data());
  });
}

std::unique_ptr<kernels::Recording> RecordingLauncher::record(const std::function<void()>& work) {
  TORCH_CHECK(prepared, "recording before prepare_to_record()");
  Recorder recorder;
  {
    const NothingComputed nothing;
    Recorder::active_ = &recorder;
    try {
      work();
    } catch (...) {
      Recorder::active_ = nullptr;
      throw;
    }
    Recorder::active_ = nullptr;
  }
  ++recordings;
  return std::make_unique<FakeRecording>(std::move(recorder.memory_), std::move(recorder.computations_), starts);
}

}  // namespace ulmfit::test
