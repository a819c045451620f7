#include "comm/solo_communicator.h"

#include <ATen/ATen.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/log.h"
#include "base/stopwatch.h"

namespace ulmfit::comm {

void SoloCommunicator::all_reduce(at::Tensor& tensor, ReduceOp) { require_contiguous(tensor, "all_reduce"); }

void SoloCommunicator::broadcast(at::Tensor& tensor, int root) {
  require_contiguous(tensor, "broadcast");
  require_rank(root, "broadcast");
}

at::Tensor SoloCommunicator::all_gather(const at::Tensor& mine) {
  require_contiguous(mine, "all_gather");
  return mine.detach().clone().unsqueeze(0);
}

void SoloCommunicator::exchange(const at::Tensor& mine, at::Tensor& theirs, int peer) {
  require_contiguous(mine, "exchange");
  require_rank(peer, "exchange");
  theirs.copy_(mine.detach());
}

void SoloCommunicator::wait_until(const std::function<bool()>& passed, std::string_view what) {
  const Stopwatch watch;
  while (!passed()) {
    if (watch.seconds() > deadline_.count()) {
      throw CommError(str(describe(*this, what), " has waited ", deadline_.count(), " s (--comm.deadline) for ",
                          device_.str(),
                          ": it hangs, or another program has it; nvidia-smi and the kernel's log tell more"));
    }
    std::this_thread::yield();
  }
}

void SoloCommunicator::abort(ExitCode code, std::string_view why) noexcept {
  log::error("comm", why);
  std::fflush(nullptr);
  std::_Exit(static_cast<int>(code));
}

}  // namespace ulmfit::comm
