#include "kernels/cuda/cuda_launcher.h"

#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <stdexcept>
#include <string>

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
