// What the host learns of steps: read at once where it computes itself, and on a GPU one step late, so that it never waits
// for a step that it has only just queued.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "comm/communicator.h"
#include "train/task.h"

namespace ulmfit::train {

// Of one step, over all ranks, the same on each.
struct StepFigures {
  std::int64_t step = 0;
  StepTotals totals;
  bool stop = false;  // a rank was asked to
  double norm = 0;    // of the gradients, before clipping
};

// Their places in one tensor [5] float64; kStop: how many ranks were asked to.
inline constexpr std::int64_t kNats = 0, kTargets = 1, kItems = 2, kStop = 3, kNorm = 4;
// This rank's part of it, to be summed, on `device`; the norm is 0. Waits for nothing.
at::Tensor figures_of_rank(const StepSums& mine, bool stop, at::Device device);

class FigureQueue {
 public:
  explicit FigureQueue(comm::Communicator& comm) : comm_(comm) {}

  // The figures of a step, summed, on the communicator's device; they begin their way to the host.
  void add(std::int64_t step, const at::Tensor& figures);
  std::size_t size() const { return waiting_.size(); }
  // The oldest, which is taken out; waits until it is there. There must be one. CommError where Communicator::wait_until
  // throws it, and where the device has failed.
  StepFigures take();

 private:
  struct Waiting {
    std::int64_t step;
    at::Tensor on_host;
    std::optional<c10::Event> copied;  // none on a CPU
  };

  comm::Communicator& comm_;
  std::deque<Waiting> waiting_;
};

}  // namespace ulmfit::train
