// Starts the kernels of bodies/ on a device.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <mutex>

namespace ulmfit::kernels {

inline constexpr unsigned kThreads = 256;  // of a block

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

  // Whether its results are those of libtorch's operators, once somebody has looked (model/gpu_kernels.h).
  std::once_flag looked;
  bool agrees = false;
};

// That of a GPU, made when it is first asked for; null where there is none: on the CPU, in a build without CUDA, or where
// the kernels cannot be compiled, which is told once; or where ULMFIT_GPU_KERNELS=0 forbids them, for comparisons.
Launcher* launcher_of(c10::Device device);

// For tests on a device that is none: what launcher_of() returns for devices of `type`. Not while kernels are started.
void set_launcher(c10::DeviceType type, Launcher* launcher);

}  // namespace ulmfit::kernels
