// Ranks as MPI processes, tensors on the CPU. The one place that knows MPI.
//
// Nothing blocks inside MPI: operations are cut into pieces (so no count nears 2^31), each piece is polled, and one that
// takes longer than the deadline throws CommError. One thread at a time makes calls; abort() may come from any.
#pragma once

#include <chrono>
#include <memory>

#include "comm/communicator.h"

namespace ulmfit::comm {

class MpiCommunicator : public Communicator {
 public:
  // Initialises MPI if the process has not yet. Collective. CommError if the installed MPI cannot be called from threads in
  // turn.
  explicit MpiCommunicator(std::chrono::duration<double> deadline);
  // Without finish() before it, MPI is left as it is: the other ranks must be ended by abort().
  ~MpiCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_size() const override { return local_size_; }
  at::Device device() const override { return at::kCPU; }

  // Sums of large float tensors over 2, 4, 8, ... ranks are exchanges of halves (comm/tree_sum.h), which measure faster
  // than MPI's own; the rest is MPI_Iallreduce.
  void all_reduce(at::Tensor& tensor, ReduceOp op) override;
  void broadcast(at::Tensor& tensor, int root) override;
  at::Tensor all_gather(const at::Tensor& mine) override;
  void exchange(const at::Tensor& mine, at::Tensor& theirs, int peer) override;
  void barrier() override;
  void finish() override;
  [[noreturn]] void abort(ExitCode code, std::string_view why) noexcept override;

  // Ends MPI if this process has started it. After finish() of every communicator; no other can be made.
  static void finalize();

 private:
  struct Impl;

  void require_cpu(const at::Tensor& tensor, std::string_view operation) const;

  std::unique_ptr<Impl> impl_;
  int rank_ = 0;
  int size_ = 1;
  int local_size_ = 1;
};

}  // namespace ulmfit::comm
