// The only door to other ranks. Every rank makes the same calls in the same order with the same shapes; every call blocks
// until its result may be used. Communication only sums, it never averages.
//
// Tensors are contiguous and on device() or on the CPU (SoloCommunicator takes any). A failed call throws CommError naming
// the operation, rank and sizes; after that the communicator is broken, and all that is left is abort().
// Destructors never communicate.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ulmfit::comm {

enum class ReduceOp { kSum, kMin, kMax };

class Communicator {
 public:
  Communicator() = default;
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const = 0;           // 0 .. size() - 1
  virtual int size() const = 0;           // number of ranks
  virtual int local_size() const = 0;     // ranks on this host: they share its cores
  virtual at::Device device() const = 0;  // where this rank computes
  virtual std::string processor() const;  // what device() is: the model of the CPU, or of the GPU

  // In place; every rank ends with the same bits. float32, float64, int64, uint8; on CUDA bfloat16 as well.
  virtual void all_reduce(at::Tensor& tensor, ReduceOp op) = 0;

  // The root's values to all ranks. These three take bfloat16 as well.
  virtual void broadcast(at::Tensor& tensor, int root) = 0;
  // [...] of each rank to [R, ...] on all, R = size().
  virtual at::Tensor all_gather(const at::Tensor& mine) = 0;
  // Swaps with one other rank, which makes the mirrored call: its `theirs` has the shape of this rank's `mine`. Either may
  // be empty. With itself as peer, a copy.
  virtual void exchange(const at::Tensor& mine, at::Tensor& theirs, int peer) = 0;

  // Returns when all ranks have called it and, on CUDA, what this rank started here has run.
  virtual void barrier() = 0;

  // Polls until `passed()`, of an event on a GPU; `what` names in messages what is waited for. CommError if other ranks
  // or the network fail meanwhile, or at the deadline. Whoever reads on the host what an exchange() or a sum started by
  // start_sum() has gone into waits so first: CUDA itself would wait for ever. Results of the other calls may be read at
  // once.
  virtual void wait_until(const std::function<bool()>& passed, std::string_view what);

  // A sum that may run beside the computation that follows: `tensor` is neither read nor written until finish_sums(), after
  // which it holds the sum (on CUDA: for work queued on the stream current at that call). Here: done at once.
  virtual bool overlaps() const { return false; }
  virtual void start_sum(at::Tensor& tensor);
  virtual void finish_sums() {}
  // Seconds that computation has waited for such sums so far; on CUDA without the latest finish_sums().
  virtual double waited_seconds() const { return waited_seconds_; }

  // The last call of every rank when all went well: MPI and NCCL end here.
  virtual void finish() {}

  // Ends all ranks, with this exit code, also those waiting in a call; does not return. May be called from any thread.
  [[noreturn]] virtual void abort(ExitCode code, std::string_view why) noexcept = 0;

  void broadcast_bytes(std::string& bytes, int root);                  // the root's string replaces every rank's
  bool broadcast_flag(bool flag, int root);                            // the root's flag; the other ranks' are not read
  std::vector<std::string> all_gather_bytes(const std::string& mine);  // every rank's string, in rank order

 protected:
  // CommError unless `tensor` is defined and contiguous; `operation` names the call.
  void require_contiguous(const at::Tensor& tensor, std::string_view operation) const;
  // CommError unless 0 <= other < size().
  void require_rank(int other, std::string_view operation) const;

 private:
  double waited_seconds_ = 0;
};

// "all_reduce on rank 1 of 4 in step 12, all-reduce", where current_activity() tells it: the start of error messages.
std::string describe(const Communicator& comm, std::string_view operation);
// And then ": Float [3, 5] on cpu".
std::string describe(const Communicator& comm, std::string_view operation, const at::Tensor& tensor);

}  // namespace ulmfit::comm
