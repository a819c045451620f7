// What the made-up device does of work that is recorded: as a GPU it computes nothing meanwhile, refuses what would wait
// for it or read the host's memory, and computes everything anew, with the memory that it had, whenever the recording is
// started.
#pragma once

#include <ATen/core/stack.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/support/host_kernels.h"

namespace ulmfit::test {

// Takes down, for fake_device.cpp and the launcher below, what the device is given.
class Recorder {
 public:
  static Recorder* active() { return active_; }  // null: nothing is recorded

  // Computes one operator or kernel.
  void add(std::function<void()> computation);
  // Of an operator of the CPU: `arguments` before it ran, `results` after it. `kept` owns their memory.
  void add(const c10::OperatorHandle& op, torch::jit::Stack arguments, torch::jit::Stack results,
           std::vector<at::Tensor> kept);
  // Memory that is given up meanwhile: kernels may have it as an argument. By std::free, with the recording.
  void keep(void* memory);
  // Throws: a GPU refuses it while it records.
  [[noreturn]] static void refuse(const std::string& what);

 private:
  friend class RecordingLauncher;
  static std::atomic<Recorder*> active_;
  std::mutex mutex_;  // autograd's threads add, too
  std::vector<std::function<void()>> computations_;
  std::vector<std::shared_ptr<void>> memory_;
};

// The memory of the device.
void memory_begins(const void* at, std::size_t bytes);
void memory_ends(const void* at);

class RecordingLauncher : public HostLauncher {
 public:
  void launch(const char* kernel, unsigned blocks, void** arguments) override;
  std::unique_ptr<kernels::Recording> record(const std::function<void()>& work) override;
  void prepare_to_record() override { prepared = true; }

  bool prepared = false;
  int recordings = 0, starts = 0;
};

}  // namespace ulmfit::test
