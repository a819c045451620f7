#include "comm/nccl/nccl_communicator.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "base/stopwatch.h"
#include "comm/gpu_choice.h"
#include "comm/nccl/gpu_calls.h"

namespace ulmfit::comm {
namespace {

class Event {
 public:
  Event(GpuCalls& calls, unsigned flags) : calls_(calls) { check(calls_.create(event_, flags), "cudaEventCreate"); }
  ~Event() { calls_.destroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { check(calls_.record(event_, stream), "cudaEventRecord"); }
  void make_wait(cudaStream_t stream) const { check(calls_.make_wait(stream, event_), "cudaStreamWaitEvent"); }
  bool passed() const {
    const cudaError_t code = calls_.query(event_);
    if (code == cudaErrorNotReady) return false;
    check(code, "cudaEventQuery");
    return true;
  }
  void then(void (*run)(void*), void* data) const { check(calls_.then(event_, run, data), "cudaLaunchHostFunc"); }
  double seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    check(calls_.elapsed(milliseconds, earlier.event_, event_), "cudaEventElapsedTime");
    return milliseconds / 1000.0;
  }

 private:
  void check(cudaError_t code, const char* call) const {
    if (code != cudaSuccess) throw CommError(str(call, " failed: ", calls_.describe(code)));
  }

  GpuCalls& calls_;
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

std::vector<std::string> split_lines(const std::string& lines) {
  std::vector<std::string> parts;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) parts.push_back(line);
  return parts;
}

// Collective.
int choose_gpu(Communicator& cpu, GpuCalls& calls) {
  std::string mine;
  for (const std::string& identity : calls.identities()) mine += identity + "\n";
  std::vector<std::vector<std::string>> visible;
  for (const std::string& lines : cpu.all_gather_bytes(mine)) visible.push_back(split_lines(lines));
  const char* shared = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  const bool may_share = shared != nullptr && std::string_view(shared) == "1";
  return static_cast<int>(choose_gpus(visible, may_share)[static_cast<std::size_t>(cpu.rank())]);
}

}  // namespace

struct NcclCommunicator::Impl {
  Impl(std::unique_ptr<GpuCalls> given, int gpu, std::chrono::duration<double> limit)
      : calls(std::move(given)), device(at::kCUDA, static_cast<c10::DeviceIndex>(gpu)), deadline(limit) {}

  // Of the sums that finish_sums() has queued last, once a quarter of a second: the host may by then be blocked in CUDA,
  // which takes only so many kernels, and poll nothing. Ends all ranks where they fail, or take longer than the deadline
  // and `grace`, within which a host that polls says more. On a thread of its own, which makes no call that could block
  // behind the same kernels: none of CUDA, and none that waits for a thread of ours that makes one.
  void watch(std::stop_token stop, Communicator& cpu, std::chrono::duration<double> grace) {
    constexpr std::chrono::milliseconds kPause{250};
    std::unique_lock lock(watched_mutex);
    while (!wake.wait_for(lock, stop, std::min<std::chrono::duration<double>>(kPause, grace / 4), [] { return false; })) {
      if (stop.stop_requested()) return;
      if (!watched || *watched->passed) continue;
      try {
        require_hope(watched->since.seconds(), deadline + grace, watched->what);
      } catch (const CommError& e) {
        cpu.abort(ExitCode::kComm, e.what());
      }
    }
  }

  // Those that `done` was recorded behind.
  void watch_sums(const std::string& what) {
    auto passed = std::make_shared<std::atomic<bool>>(false);
    using Passed = decltype(passed);
    auto note = std::make_unique<Passed>(passed);  // where the GPU fails, and tell() is never called, these few bytes stay
    const auto tell = [](void* data) { **std::unique_ptr<Passed>(static_cast<Passed*>(data)) = true; };
    done.then(tell, note.get());
    static_cast<void>(note.release());
    const std::scoped_lock lock(watched_mutex);
    watched = Watched{what, {}, std::move(passed)};
  }

  // Throws on an asynchronous NCCL error, and after `limit`. `what` starts the message.
  void require_hope(double waited_seconds, std::chrono::duration<double> limit, const std::string& what) const {
    const ncclResult_t now = state();
    if (now != ncclSuccess && now != ncclInProgress) throw failed(now, what);
    if (waited_seconds <= limit.count()) return;
    throw CommError(str(what, " has waited ", deadline.count(),
                        " s for the other ranks: one of them is dead, stuck or much slower; see their last messages"));
  }

  // Polls until `reached()`; throws on an asynchronous NCCL error, or at the deadline. `what` starts the message.
  template <class Reached>
  void poll(Reached&& reached, const std::string& what) const {
    const Stopwatch watch;
    while (!reached()) {
      require_hope(watch.seconds(), deadline, what);
      std::this_thread::yield();
    }
  }

  void stop_watching() {
    watchdog.request_stop();
    if (watchdog.joinable()) watchdog.join();
  }

  CommError failed(ncclResult_t result, const std::string& what) const {
    const std::unique_lock one_call(nccl_mutex, std::try_to_lock);
    const std::string detail = one_call ? calls->last_error() : "";
    return CommError(str(what, " failed: ", calls->describe(result), "; NCCL says: ", detail.empty() ? "nothing" : detail,
                         "; NCCL_DEBUG=INFO shows more"));
  }

  // While another thread makes a call, that is in progress: this does not wait for it.
  ncclResult_t state() const {
    const std::unique_lock one_call(nccl_mutex, std::try_to_lock);
    return one_call ? calls->state() : ncclInProgress;
  }

  // call(), one NCCL call: on a communicator that does not block it may go on in the background.
  template <class Call>
  void complete(Call&& call, const std::string& what) const {
    const ncclResult_t result = [&] {
      const std::scoped_lock one_call(nccl_mutex);
      return call();
    }();
    if (result != ncclSuccess && result != ncclInProgress) throw failed(result, what);
    poll([&] { return state() == ncclSuccess; }, what);
  }

  // Queues call(), one NCCL call, behind all work queued so far on the current stream.
  template <class Call>
  void queue(Call&& call, const std::string& what) {
    ready.record(calls->current_stream());
    ready.make_wait(calls->sum_stream());
    complete(std::forward<Call>(call), what);
  }

  // Work queued later on the current stream comes after all that was queued here.
  void join() {
    done.record(calls->sum_stream());
    done.make_wait(calls->current_stream());
  }

  // Returns when what was queued on the current stream so far has run.
  void wait(const std::string& what) {
    computed.record(calls->current_stream());
    poll([&] { return computed.passed(); }, what);
  }

  // Queues a call and returns when its result may be read, on the host too.
  template <class Call>
  void run(Call&& call, const std::string& what) {
    queue(std::forward<Call>(call), what);
    join();
    wait(what);
  }

  std::unique_ptr<GpuCalls> calls;
  at::Device device;
  std::chrono::duration<double> deadline;
  Event ready{*calls, cudaEventDisableTiming};
  Event done{*calls, cudaEventDisableTiming};
  Event computed{*calls, cudaEventDisableTiming};
  Event wait_begin{*calls, cudaEventDefault};
  Event wait_end{*calls, cudaEventDefault};
  bool wait_recorded = false;
  std::string sums;  // what the latest finish_sums() waits for, and in which step
  double waited = 0;
  struct Watched {
    std::string what;
    Stopwatch since;
    std::shared_ptr<const std::atomic<bool>> passed;  // set by a thread of CUDA's
  };
  mutable std::mutex nccl_mutex;  // NCCL wants one call at a time: the host's, autograd's thread's or the watching one's
  std::mutex watched_mutex;       // never held during a call of CUDA
  std::condition_variable_any wake;
  std::optional<Watched> watched;  // the sums of that finish_sums()
  std::jthread watchdog;           // ends first
};

NcclCommunicator::NcclCommunicator(std::unique_ptr<Communicator> cpu, std::unique_ptr<GpuCalls> calls,
                                   std::chrono::duration<double> deadline, std::chrono::duration<double> grace)
    : cpu_(std::move(cpu)) {
  const int gpu = choose_gpu(*cpu_, *calls);
  calls->take(gpu);
  impl_ = std::make_unique<Impl>(std::move(calls), gpu, deadline);
  const std::string what = ulmfit::str("starting NCCL on rank ", rank(), " of ", size(), ", ", impl_->device);
  ncclUniqueId id{};
  if (rank() == 0) {
    const ncclResult_t result = impl_->calls->make_id(id);
    if (result != ncclSuccess) throw impl_->failed(result, what);
  }
  at::Tensor id_bytes = at::from_blob(id.internal, {NCCL_UNIQUE_ID_BYTES}, at::kByte);
  cpu_->broadcast(id_bytes, 0);
  impl_->complete([&] { return impl_->calls->start(size(), id, rank()); }, what);
  impl_->watchdog = std::jthread([this, grace](std::stop_token stop) { impl_->watch(std::move(stop), *cpu_, grace); });
}

NcclCommunicator::~NcclCommunicator() {
  if (!impl_) return;
  impl_->stop_watching();
  impl_->calls->abort();
}

at::Device NcclCommunicator::device() const { return impl_->device; }

std::string NcclCommunicator::processor() const { return impl_->calls->model(); }

void NcclCommunicator::all_reduce(at::Tensor& tensor, ReduceOp op) {
  require_contiguous(tensor, "all_reduce");
  if (tensor.is_cpu()) return cpu_->all_reduce(tensor, op);
  const std::string what = describe(*this, "all_reduce", tensor);
  const ncclDataType_t type = nccl_type(tensor.scalar_type(), what);
  void* data = tensor.data_ptr();
  impl_->run([&] { return impl_->calls->all_reduce(data, count_of(tensor), type, nccl_op(op)); }, what);
}

void NcclCommunicator::broadcast(at::Tensor& tensor, int root) {
  require_contiguous(tensor, "broadcast");
  if (tensor.is_cpu()) return cpu_->broadcast(tensor, root);
  require_rank(root, "broadcast");
  const std::string what = describe(*this, str("broadcast from ", root), tensor);
  const ncclDataType_t type = nccl_type(tensor.scalar_type(), what);
  void* data = tensor.data_ptr();
  impl_->run([&] { return impl_->calls->broadcast(data, count_of(tensor), type, root); }, what);
}

at::Tensor NcclCommunicator::all_gather(const at::Tensor& mine) {
  require_contiguous(mine, "all_gather");
  if (mine.is_cpu()) return cpu_->all_gather(mine);
  const std::string what = describe(*this, "all_gather", mine);
  const ncclDataType_t type = nccl_type(mine.scalar_type(), what);
  std::vector<std::int64_t> shape = mine.sizes().vec();
  shape.insert(shape.begin(), size());
  const at::Tensor all = at::empty(shape, mine.options().requires_grad(false));
  impl_->run([&] { return impl_->calls->all_gather(mine.data_ptr(), all.data_ptr(), count_of(mine), type); }, what);
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
      [&] {
        return impl_->calls->exchange(mine.data_ptr(), count_of(mine), theirs.data_ptr(), count_of(theirs), type, peer);
      },
      what);
  impl_->join();
}

void NcclCommunicator::barrier() {
  impl_->join();
  impl_->wait(describe(*this, "barrier"));
  cpu_->barrier();
}

void NcclCommunicator::wait_until(const std::function<bool()>& passed, std::string_view what) {
  impl_->poll(passed, describe(*this, what));
}

void NcclCommunicator::start_sum(at::Tensor& tensor) {
  if (tensor.is_cpu()) return cpu_->start_sum(tensor);
  require_contiguous(tensor, "start_sum");
  const std::string what = describe(*this, "start_sum", tensor);
  const ncclDataType_t type = nccl_type(tensor.scalar_type(), what);
  void* data = tensor.data_ptr();
  impl_->queue([&] { return impl_->calls->all_reduce(data, count_of(tensor), type, ncclSum); }, what);
}

void NcclCommunicator::finish_sums() {
  Impl& impl = *impl_;
  if (impl.wait_recorded) {
    impl.poll([&] { return impl.wait_end.passed(); }, impl.sums);
    impl.waited += impl.wait_end.seconds_since(impl.wait_begin);
  }
  const cudaStream_t current = impl.calls->current_stream();
  impl.wait_begin.record(current);
  impl.join();
  impl.wait_end.record(current);
  impl.wait_recorded = true;
  impl.sums = describe(*this, "sums");
  impl.watch_sums(impl.sums);
}

double NcclCommunicator::waited_seconds() const { return impl_->waited + cpu_->waited_seconds(); }

void NcclCommunicator::finish() {
  barrier();
  impl_->stop_watching();
  const std::string what = describe(*this, "ending NCCL");
  impl_->complete([&] { return impl_->calls->finalize(); }, what);
  impl_->calls->destroy_communicator();
  cpu_->finish();
}

void NcclCommunicator::abort(ExitCode code, std::string_view why) noexcept {
  cpu_->abort(code, why);  // the end of the process frees the GPU and breaks the other ranks' connections
  std::abort();            // not reached; g++ 12 forgets that a virtual function is [[noreturn]]
}

}  // namespace ulmfit::comm
