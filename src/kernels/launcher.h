// Starts the kernels of bodies/ on a device.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "kernels/bodies/types.h"

namespace ulmfit::kernels {

inline constexpr unsigned kThreads = 256;  // of a block

// Work of a device that was recorded. Memory that it took is used again by other recordings, and by itself when it is
// started again: what is to be read later is copied, by the work, to where it stays.
class Recording {
 public:
  Recording() = default;
  virtual ~Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // Queues all of it at once, on the stream of the calling thread, with the memory that it was recorded with. Throws
  // c10::Error.
  virtual void start() = 0;
};

class Launcher {
 public:
  Launcher() = default;
  virtual ~Launcher() = default;
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  // Queues `kernel` (a name of bodies/entries.h) with so many blocks behind what the thread's tensors on the device wait
  // for. arguments: the place of each of its parameters, in order; they are read before it returns. Any thread may call it.
  // Throws std::runtime_error.
  virtual void launch(const char* kernel, unsigned blocks, void** arguments) = 0;
  // Of the device's last cache before its memory.
  virtual std::int64_t cache_bytes() const = 0;

  // What `work` gives the device, by the calling thread and those of autograd, is recorded instead of computed. Nothing in
  // it may wait for the device, or copy from the host. Throws what `work` throws, and c10::Error where the device refuses.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work) = 0;
  // Once before that, and before autograd knows the tensors that `work` uses: what the calling thread gives the device goes
  // where it can be recorded, from now on for all that the thread does.
  virtual void prepare_to_record() = 0;

  // Where the masks' kernels find the number that their steps are counted from, on the device; null: they count from 0.
  // Set around work that is recorded, whose arguments are the same whenever it is started.
  const bodies::Long* clock = nullptr;

  // Whether its results are those of libtorch's operators, once somebody has looked (model/gpu_kernels.h).
  std::once_flag looked;
  bool agrees = false;
};

// While it lives, the masks of `launcher` count their steps from the number at `clock`.
class ClockScope {
 public:
  ClockScope(Launcher& launcher, const void* clock) : launcher_(launcher) {
    launcher.clock = static_cast<const bodies::Long*>(clock);
  }
  ~ClockScope() { launcher_.clock = nullptr; }
  ClockScope(const ClockScope&) = delete;
  ClockScope& operator=(const ClockScope&) = delete;

 private:
  Launcher& launcher_;
};

// That of a GPU, made when it is first asked for; null where there is none: on the CPU, in a build without CUDA, or where
// the kernels cannot be compiled, which is told once; or where ULMFIT_GPU_KERNELS=0 forbids them, for comparisons.
Launcher* launcher_of(c10::Device device);

// For tests on a device that is none: what launcher_of() returns for devices of `type`. Not while kernels are started.
void set_launcher(c10::DeviceType type, Launcher* launcher);

}  // namespace ulmfit::kernels
