// Ranks with one GPU each: tensors on the GPU go through NCCL, on a stream of its own; tensors on the CPU, and all that
// starts NCCL, through the communicator it is built on.
//
// The host does not block in NCCL: it polls, looks at its asynchronous errors, and throws CommError at the deadline. While
// it queues a step it may block in CUDA, behind sums that never end: a thread watches these, and ends all ranks.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace ulmfit::comm {

class GpuCalls;

class NcclCommunicator : public Communicator {
 public:
  // Collective. Takes a GPU of its own (gpu_choice.h) and makes it the current one. CommError if there are fewer than ranks
  // (unless NCCL_MULTI_RANK_GPU_ENABLE=1, NCCL 2.30 or later: then they share).
  // `grace`: how much longer than the deadline a host has that is not heard of, before all ranks are ended.
  NcclCommunicator(std::unique_ptr<Communicator> cpu, std::unique_ptr<GpuCalls> calls,
                   std::chrono::duration<double> deadline, std::chrono::duration<double> grace = std::chrono::seconds(30));
  ~NcclCommunicator() override;

  int rank() const override { return cpu_->rank(); }
  int size() const override { return cpu_->size(); }
  int local_size() const override { return cpu_->local_size(); }
  at::Device device() const override;
  std::string processor() const override;

  void all_reduce(at::Tensor& tensor, ReduceOp op) override;
  void broadcast(at::Tensor& tensor, int root) override;
  at::Tensor all_gather(const at::Tensor& mine) override;
  void exchange(const at::Tensor& mine, at::Tensor& theirs, int peer) override;
  void barrier() override;
  void wait_until(const std::function<bool()>& passed, std::string_view what) override;

  bool overlaps() const override { return true; }
  // May be called from autograd's thread, while the main thread waits for it.
  void start_sum(at::Tensor& tensor) override;
  // Also waits, on the host, for the sums of the finish_sums() before: the host is at most one step ahead of a dead rank.
  void finish_sums() override;
  double waited_seconds() const override;

  void finish() override;
  [[noreturn]] void abort(ExitCode code, std::string_view why) noexcept override;

 private:
  struct Impl;

  std::unique_ptr<Communicator> cpu_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ulmfit::comm
