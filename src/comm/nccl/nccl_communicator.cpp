#include "comm/nccl/nccl_communicator.h"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstdlib>
#include <iomanip>
#include <sstream>
#include <string>
#include <thread>

#include "base/stopwatch.h"
#include "comm/gpu_choice.h"

namespace ulmfit::comm {
namespace {

void check_cuda(cudaError_t code, const char* call) {
  if (code != cudaSuccess) throw CommError(str(call, " failed: ", cudaGetErrorString(code)));
}

class Event {
 public:
  explicit Event(unsigned flags) { check_cuda(cudaEventCreateWithFlags(&event_, flags), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { check_cuda(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  void make_wait(cudaStream_t stream) const { check_cuda(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent"); }
  bool passed() const {
    const cudaError_t code = cudaEventQuery(event_);
    if (code == cudaErrorNotReady) return false;
    check_cuda(code, "cudaEventQuery");
    return true;
  }
  double seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "cudaEventElapsedTime");
    return milliseconds / 1000.0;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

ncclRedOp_t nccl_op(ReduceOp op) {
  switch (op) {
    case ReduceOp::kMin:
      return ncclMin;
    case ReduceOp::kMax:
      return ncclMax;
    case ReduceOp::kSum:
      break;
  }
  return ncclSum;
}

// `what` starts the error message.
ncclDataType_t nccl_type(at::ScalarType type, const std::string& what) {
  switch (type) {
    case at::kFloat:
      return ncclFloat32;
    case at::kDouble:
      return ncclFloat64;
    case at::kLong:
      return ncclInt64;
    case at::kByte:
      return ncclUint8;
    case at::kBFloat16:
      return ncclBfloat16;
    default:
      throw CommError(what + ": expected float32, float64, int64, uint8 or bfloat16");
  }
}

std::size_t count_of(const at::Tensor& tensor) { return static_cast<std::size_t>(tensor.numel()); }

cudaDeviceProp properties_of(int device) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
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

std::vector<std::string> split_lines(const std::string& lines) {
  std::vector<std::string> parts;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) parts.push_back(line);
  return parts;
}

// Collective.
at::Device choose_device(Communicator& cpu) {
  int gpus = 0;
  const cudaError_t counted = cudaGetDeviceCount(&gpus);
  if (counted != cudaErrorNoDevice) check_cuda(counted, "cudaGetDeviceCount");
  std::string mine;
  for (int device = 0; device < gpus; ++device) mine += identity(properties_of(device)) + "\n";
  std::vector<std::vector<std::string>> visible;
  for (const std::string& lines : cpu.all_gather_bytes(mine)) visible.push_back(split_lines(lines));
  const char* shared = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  const bool may_share = shared != nullptr && std::string_view(shared) == "1";
  const std::size_t chosen = choose_gpus(visible, may_share)[static_cast<std::size_t>(cpu.rank())];
  return {at::kCUDA, static_cast<c10::DeviceIndex>(chosen)};
}

}  // namespace

std::string gpu_model(at::Device device) {
  const cudaDeviceProp properties = properties_of(device.index());
  return str(properties.name, ", ", properties.multiProcessorCount, " multiprocessors, compute capability ",
             properties.major, ".", properties.minor);
}

struct NcclCommunicator::Impl {
  Impl(at::Device chosen, std::chrono::duration<double> limit)
      : device(chosen), deadline(limit), stream(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, chosen.index())) {}

  // Polls until `reached()`; throws on an asynchronous NCCL error, or at the deadline. `what` starts the message.
  template <class Reached>
  void poll(Reached&& reached, const std::string& what) const {
    const Stopwatch watch;
    while (!reached()) {
      ncclResult_t state = ncclSuccess;
      ncclCommGetAsyncError(nccl, &state);
      if (state != ncclSuccess && state != ncclInProgress) throw failed(state, what);
      if (watch.seconds() > deadline.count()) {
        throw CommError(str(what, " has waited ", deadline.count(),
                            " s for the other ranks: one of them is dead, stuck or much slower; see their last messages"));
      }
      std::this_thread::yield();
    }
  }

  CommError failed(ncclResult_t result, const std::string& what) const {
    const char* detail = ncclGetLastError(nccl);
    return CommError(str(what, " failed: ", ncclGetErrorString(result),
                         "; NCCL says: ", detail == nullptr ? "nothing" : detail, "; NCCL_DEBUG=INFO shows more"));
  }

  // A call on a communicator that does not block may go on in the background.
  void complete(ncclResult_t result, const std::string& what) const {
    if (result != ncclSuccess && result != ncclInProgress) throw failed(result, what);
    poll(
        [&] {
          ncclResult_t state = ncclSuccess;
          return ncclCommGetAsyncError(nccl, &state) == ncclSuccess && state == ncclSuccess;
        },
        what);
  }

  cudaStream_t current() const { return c10::cuda::getCurrentCUDAStream(device.index()).stream(); }

  // Queues call(stream), one NCCL call, behind all work queued so far on the current stream.
  template <class Call>
  void queue(Call&& call, const std::string& what) {
    const c10::cuda::CUDAGuard guard(device.index());
    ready.record(current());
    ready.make_wait(stream.stream());
    complete(call(stream.stream()), what);
  }

  // Work queued later on the current stream comes after all that was queued here.
  void join() {
    done.record(stream.stream());
    done.make_wait(current());
  }

  at::Device device;
  std::chrono::duration<double> deadline;
  c10::cuda::CUDAStream stream;
  ncclComm_t nccl = nullptr;
  Event ready{cudaEventDisableTiming};
  Event done{cudaEventDisableTiming};
  Event computed{cudaEventDisableTiming};
  Event wait_begin{cudaEventDefault};
  Event wait_end{cudaEventDefault};
  bool wait_recorded = false;
  double waited = 0;
};

NcclCommunicator::NcclCommunicator(std::unique_ptr<Communicator> cpu, std::chrono::duration<double> deadline)
    : cpu_(std::move(cpu)) {
  const at::Device chosen = choose_device(*cpu_);
  c10::cuda::set_device(chosen.index());
  impl_ = std::make_unique<Impl>(chosen, deadline);
  const std::string what = ulmfit::str("starting NCCL on rank ", rank(), " of ", size(), ", ", chosen);
  ncclUniqueId id{};
  if (rank() == 0) {
    const ncclResult_t result = ncclGetUniqueId(&id);
    if (result != ncclSuccess) throw impl_->failed(result, what);
  }
  at::Tensor id_bytes = at::from_blob(id.internal, {NCCL_UNIQUE_ID_BYTES}, at::kByte);
  cpu_->broadcast(id_bytes, 0);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  impl_->complete(ncclCommInitRankConfig(&impl_->nccl, size(), id, rank(), &config), what);
}

NcclCommunicator::~NcclCommunicator() {
  if (impl_ && impl_->nccl != nullptr) ncclCommAbort(impl_->nccl);  // local, unlike ncclCommDestroy
}

at::Device NcclCommunicator::device() const { return impl_->device; }

std::string NcclCommunicator::processor() const { return gpu_model(impl_->device); }

void NcclCommunicator::all_reduce(at::Tensor& tensor, ReduceOp op) {
  require_contiguous(tensor, "all_reduce");
  if (tensor.is_cpu()) return cpu_->all_reduce(tensor, op);
  const std::string what = describe(*this, "all_reduce", tensor);
  const ncclDataType_t type = nccl_type(tensor.scalar_type(), what);
  void* data = tensor.data_ptr();
  impl_->queue(
      [&](cudaStream_t stream) {
        return ncclAllReduce(data, data, count_of(tensor), type, nccl_op(op), impl_->nccl, stream);
      },
      what);
  impl_->join();
}

void NcclCommunicator::broadcast(at::Tensor& tensor, int root) {
  require_contiguous(tensor, "broadcast");
  if (tensor.is_cpu()) return cpu_->broadcast(tensor, root);
  require_rank(root, "broadcast");
  const std::string what = describe(*this, str("broadcast from ", root), tensor);
  const ncclDataType_t type = nccl_type(tensor.scalar_type(), what);
  void* data = tensor.data_ptr();
  impl_->queue(
      [&](cudaStream_t stream) { return ncclBroadcast(data, data, count_of(tensor), type, root, impl_->nccl, stream); },
      what);
  impl_->join();
}

at::Tensor NcclCommunicator::all_gather(const at::Tensor& mine) {
  require_contiguous(mine, "all_gather");
  if (mine.is_cpu()) return cpu_->all_gather(mine);
  const std::string what = describe(*this, "all_gather", mine);
  const ncclDataType_t type = nccl_type(mine.scalar_type(), what);
  std::vector<std::int64_t> shape = mine.sizes().vec();
  shape.insert(shape.begin(), size());
  const at::Tensor all = at::empty(shape, mine.options().requires_grad(false));
  impl_->queue(
      [&](cudaStream_t stream) {
        return ncclAllGather(mine.data_ptr(), all.data_ptr(), count_of(mine), type, impl_->nccl, stream);
      },
      what);
  impl_->join();
  return all;
}

void NcclCommunicator::exchange(const at::Tensor& mine, at::Tensor& theirs, int peer) {
  require_contiguous(mine, "exchange");
  require_contiguous(theirs, "exchange");
  if (mine.is_cpu()) return cpu_->exchange(mine, theirs, peer);
  require_rank(peer, "exchange");
  if (peer == rank()) {
    theirs.copy_(mine.detach());
    return;
  }
  const std::string what = describe(*this, str("exchange with ", peer), mine);
  const ncclDataType_t type = nccl_type(mine.scalar_type(), what);
  impl_->queue(
      [&](cudaStream_t stream) {
        ncclGroupStart();
        ncclResult_t sent = ncclSuccess;
        ncclResult_t received = ncclSuccess;
        if (mine.numel() > 0) sent = ncclSend(mine.data_ptr(), count_of(mine), type, peer, impl_->nccl, stream);
        if (theirs.numel() > 0) received = ncclRecv(theirs.data_ptr(), count_of(theirs), type, peer, impl_->nccl, stream);
        const ncclResult_t grouped = ncclGroupEnd();
        return sent != ncclSuccess ? sent : received != ncclSuccess ? received : grouped;
      },
      what);
  impl_->join();
}

void NcclCommunicator::barrier() {
  impl_->done.record(impl_->stream.stream());
  impl_->poll([&] { return impl_->done.passed(); }, describe(*this, "barrier"));
  cpu_->barrier();
}

void NcclCommunicator::wait() {
  impl_->computed.record(impl_->current());
  impl_->poll([&] { return impl_->computed.passed(); }, describe(*this, "computation"));
}

void NcclCommunicator::start_sum(at::Tensor& tensor) {
  if (tensor.is_cpu()) return cpu_->start_sum(tensor);
  require_contiguous(tensor, "start_sum");
  const std::string what = describe(*this, "start_sum", tensor);
  const ncclDataType_t type = nccl_type(tensor.scalar_type(), what);
  void* data = tensor.data_ptr();
  impl_->queue(
      [&](cudaStream_t stream) { return ncclAllReduce(data, data, count_of(tensor), type, ncclSum, impl_->nccl, stream); },
      what);
}

void NcclCommunicator::finish_sums() {
  Impl& impl = *impl_;
  if (impl.wait_recorded) {
    impl.poll([&] { return impl.wait_end.passed(); }, describe(*this, "sums"));
    impl.waited += impl.wait_end.seconds_since(impl.wait_begin);
  }
  const cudaStream_t current = impl.current();
  impl.wait_begin.record(current);
  impl.join();
  impl.wait_end.record(current);
  impl.wait_recorded = true;
}

double NcclCommunicator::waited_seconds() const { return impl_->waited + cpu_->waited_seconds(); }

void NcclCommunicator::finish() {
  barrier();
  const std::string what = describe(*this, "ending NCCL");
  impl_->complete(ncclCommFinalize(impl_->nccl), what);
  ncclCommDestroy(impl_->nccl);
  impl_->nccl = nullptr;
  cpu_->finish();
}

void NcclCommunicator::abort(ExitCode code, std::string_view why) noexcept {
  cpu_->abort(code, why);  // the end of the process frees the GPU and breaks the other ranks' connections
  std::abort();            // not reached; g++ 12 forgets that a virtual function is [[noreturn]]
}

}  // namespace ulmfit::comm
