#include "kernels/cuda/cuda_launcher.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/error.h"
#include "kernels/compile.h"

namespace ulmfit::kernels {
namespace {

#if CUDART_VERSION >= 12080

void check(cudaError_t code, const std::string& what) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // libtorch's next kernel would find it and take it for its own
  throw std::runtime_error(str(what, " failed: ", cudaGetErrorString(code)));
}

int attribute_of(int gpu, cudaDeviceAttr attribute) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, attribute, gpu), "cudaDeviceGetAttribute");
  return value;
}

std::string architecture_of(int gpu) {
  return str("sm_", attribute_of(gpu, cudaDevAttrComputeCapabilityMajor),
             attribute_of(gpu, cudaDevAttrComputeCapabilityMinor));
}

// What recordings that follow each other share: one runs at a time. libtorch gives the memory of a handle up with its last
// recording, and takes no new one for it.
struct RecordingMemory {
  const c10::MempoolId_t id = at::cuda::graph_pool_handle();
};

// A CUDA graph.
class CudaRecording : public Recording {
 public:
  CudaRecording(std::shared_ptr<const RecordingMemory> memory, const std::function<void()>& work)
      : memory_(std::move(memory)) {
    // While it records libtorch gives back nothing of what it keeps for later.
    c10::cuda::CUDACachingAllocator::emptyCache();
    // Other threads may call CUDA meanwhile: that of the prefetch asks for pinned memory.
    graph_.capture_begin(memory_->id, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      end_quietly();
      throw;
    }
    graph_.capture_end();
  }
  void start() override { graph_.replay(); }

 private:
  void end_quietly() {
    try {
      graph_.capture_end();
    } catch (const std::exception&) {  // the reason is on its way already
    }
    static_cast<void>(cudaGetLastError());
  }

  std::shared_ptr<const RecordingMemory> memory_;
  at::cuda::CUDAGraph graph_;
};

class CudaLauncher : public Launcher {
 public:
  explicit CudaLauncher(c10::DeviceIndex gpu) : gpu_(gpu >= 0 ? gpu : c10::cuda::current_device()) {
    std::string why;
    const auto nvrtc = load_nvrtc(why);
    if (nvrtc == nullptr) throw std::runtime_error(why);
    const c10::cuda::CUDAGuard guard(gpu_);
    cache_bytes_ = attribute_of(gpu_, cudaDevAttrL2CacheSize);
    load_code(*nvrtc, architecture_of(gpu_), cache_folder(), [this](const std::string& code) { return loads(code); });
  }
  // The library stays: at the program's end CUDA may have gone before.

  void launch(const char* kernel, unsigned blocks, void** arguments) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    cudaLaunchConfig_t config{};
    config.gridDim = dim3{blocks, 1, 1};
    config.blockDim = dim3{kThreads, 1, 1};
    config.stream = c10::cuda::getCurrentCUDAStream(gpu_).stream();
    check(cudaLaunchKernelExC(&config, kernel_of(kernel), arguments), str("starting the kernel ", kernel));
  }

  std::int64_t cache_bytes() const override { return cache_bytes_; }

  std::unique_ptr<Recording> record(const std::function<void()>& work) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    std::shared_ptr<const RecordingMemory> memory = recording_memory_.lock();
    if (memory == nullptr) recording_memory_ = memory = std::make_shared<const RecordingMemory>();
    return std::make_unique<CudaRecording>(std::move(memory), work);
  }

  // CUDA records no default stream. Autograd computes where a tensor's gradient was first asked for.
  void prepare_to_record() override {
    if (c10::cuda::getCurrentCUDAStream(gpu_) != c10::cuda::getDefaultCUDAStream(gpu_)) return;
    const c10::cuda::CUDAGuard guard(gpu_);
    c10::cuda::device_synchronize();  // the new stream waits for no other by itself
    c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, gpu_));
  }

 private:
  // CUDA loads lazily: that it can, is known once a kernel has been asked for something.
  bool loads(const std::string& code) {
    cudaKernel_t kernel = nullptr;
    cudaFuncAttributes attributes{};
    const bool whole =
        cudaLibraryLoadData(&library_, code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0) == cudaSuccess &&
        cudaLibraryGetKernel(&kernel, library_, "mask_at") == cudaSuccess &&
        cudaFuncGetAttributes(&attributes, static_cast<const void*>(kernel)) == cudaSuccess;
    if (!whole) static_cast<void>(cudaGetLastError());
    return whole;
  }

  const void* kernel_of(const char* name) {
    const std::scoped_lock lock(mutex_);
    if (const auto found = kernels_.find(name); found != kernels_.end()) return found->second;
    cudaKernel_t kernel = nullptr;
    check(cudaLibraryGetKernel(&kernel, library_, name), str("looking up the kernel ", name));
    kernels_.emplace(name, static_cast<const void*>(kernel));
    return kernels_.at(name);
  }

  c10::DeviceIndex gpu_;
  std::int64_t cache_bytes_ = 0;
  cudaLibrary_t library_ = nullptr;
  std::weak_ptr<const RecordingMemory> recording_memory_;
  std::mutex mutex_;
  std::map<std::string, const void*> kernels_;
};

#endif

}  // namespace

std::unique_ptr<Launcher> make_cuda_launcher([[maybe_unused]] c10::DeviceIndex gpu) {
#if CUDART_VERSION >= 12080
  return std::make_unique<CudaLauncher>(gpu);
#else
  throw std::runtime_error("they need CUDA 12.8 or newer, this program was built with an older one");
#endif
}

}  // namespace ulmfit::kernels
