#include "comm/nccl/cuda_calls.h"

#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <iomanip>
#include <optional>
#include <sstream>

#include "base/error.h"

namespace ulmfit::comm {
namespace {

void check(cudaError_t code, const char* call) {
  if (code != cudaSuccess) throw CommError(str(call, " failed: ", cudaGetErrorString(code)));
}

cudaDeviceProp properties_of(int gpu) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, gpu), "cudaGetDeviceProperties");
  return properties;
}

// "GPU-" and the UUID, as nvidia-smi names it: the same for all processes, whatever number the GPU has in each.
std::string identity(const cudaDeviceProp& properties) {
  std::ostringstream name;
  name << "GPU-" << std::hex << std::setfill('0');
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) name << '-';
    name << std::setw(2) << static_cast<unsigned>(static_cast<unsigned char>(properties.uuid.bytes[i]));
  }
  return name.str();
}

class CudaCalls : public GpuCalls {
 public:
  ~CudaCalls() override { CudaCalls::abort(); }

  std::vector<std::string> identities() override {
    int gpus = 0;
    const cudaError_t counted = cudaGetDeviceCount(&gpus);
    if (counted != cudaErrorNoDevice) check(counted, "cudaGetDeviceCount");
    std::vector<std::string> all;
    for (int gpu = 0; gpu < gpus; ++gpu) all.push_back(identity(properties_of(gpu)));
    return all;
  }

  void take(int gpu) override {
    gpu_ = static_cast<c10::DeviceIndex>(gpu);
    c10::cuda::set_device(gpu_);
    sum_stream_ = c10::cuda::getStreamFromPool(/*isHighPriority=*/true, gpu_);
    word_stream_ = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, gpu_);
  }

  std::string model() override { return gpu_model(gpu_); }

  cudaStream_t current_stream() override { return c10::cuda::getCurrentCUDAStream(gpu_).stream(); }
  cudaStream_t sum_stream() override { return sum_stream_->stream(); }

  cudaError_t create(cudaEvent_t& event, unsigned flags) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return cudaEventCreateWithFlags(&event, flags);
  }
  void destroy(cudaEvent_t event) override { cudaEventDestroy(event); }
  cudaError_t record(cudaEvent_t event, cudaStream_t stream) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return cudaEventRecord(event, stream);
  }
  cudaError_t make_wait(cudaStream_t stream, cudaEvent_t event) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return cudaStreamWaitEvent(stream, event, 0);
  }
  cudaError_t query(cudaEvent_t event) override { return cudaEventQuery(event); }
  cudaError_t elapsed(float& milliseconds, cudaEvent_t begin, cudaEvent_t end) override {
    return cudaEventElapsedTime(&milliseconds, begin, end);
  }
  cudaError_t then(cudaEvent_t event, void (*run)(void*), void* data) override {
    const cudaError_t waits = make_wait(word_stream_->stream(), event);
    if (waits != cudaSuccess) return waits;
    const c10::cuda::CUDAGuard guard(gpu_);
    return cudaLaunchHostFunc(word_stream_->stream(), run, data);
  }
  std::string describe(cudaError_t code) override { return cudaGetErrorString(code); }

  ncclResult_t make_id(ncclUniqueId& id) override { return ncclGetUniqueId(&id); }

  ncclResult_t start(int size, const ncclUniqueId& id, int rank) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return ncclCommInitRankConfig(&communicator_, size, id, rank, &config);
  }

  ncclResult_t state() override {
    if (communicator_ == nullptr) return ncclSuccess;
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(communicator_, &state);
    return asked == ncclSuccess ? state : asked;
  }

  std::string describe(ncclResult_t result) override { return ncclGetErrorString(result); }
  std::string last_error() override {
    const char* text = ncclGetLastError(communicator_);
    return text == nullptr ? "" : text;
  }

  ncclResult_t all_reduce(void* data, std::size_t count, ncclDataType_t type, ncclRedOp_t op) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return ncclAllReduce(data, data, count, type, op, communicator_, sum_stream());
  }
  ncclResult_t broadcast(void* data, std::size_t count, ncclDataType_t type, int root) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return ncclBroadcast(data, data, count, type, root, communicator_, sum_stream());
  }
  ncclResult_t all_gather(const void* mine, void* all, std::size_t count, ncclDataType_t type) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return ncclAllGather(mine, all, count, type, communicator_, sum_stream());
  }
  ncclResult_t exchange(const void* mine, std::size_t sent, void* theirs, std::size_t received, ncclDataType_t type,
                        int peer) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    ncclGroupStart();
    ncclResult_t send = ncclSuccess, receive = ncclSuccess;
    if (sent > 0) send = ncclSend(mine, sent, type, peer, communicator_, sum_stream());
    if (received > 0) receive = ncclRecv(theirs, received, type, peer, communicator_, sum_stream());
    const ncclResult_t grouped = ncclGroupEnd();
    return send != ncclSuccess ? send : receive != ncclSuccess ? receive : grouped;
  }

  ncclResult_t finalize() override { return ncclCommFinalize(communicator_); }
  void destroy_communicator() override {
    ncclCommDestroy(communicator_);
    communicator_ = nullptr;
  }
  void abort() override {
    if (communicator_ != nullptr) ncclCommAbort(communicator_);  // local, unlike ncclCommDestroy
    communicator_ = nullptr;
  }

 private:
  c10::DeviceIndex gpu_ = 0;
  std::optional<c10::cuda::CUDAStream> sum_stream_;
  std::optional<c10::cuda::CUDAStream> word_stream_;  // of then()
  ncclComm_t communicator_ = nullptr;
};

}  // namespace

std::unique_ptr<GpuCalls> make_cuda_calls() { return std::make_unique<CudaCalls>(); }

std::string gpu_model(int gpu) {
  const cudaDeviceProp properties = properties_of(gpu);
  return str(properties.name, ", ", properties.multiProcessorCount, " multiprocessors, compute capability ",
             properties.major, ".", properties.minor);
}

}  // namespace ulmfit::comm
