// The work that a training step gives a GPU, recorded once for each length of window (a CUDA graph) and then started whole:
// the host queues one thing instead of several hundred. What differs between steps lies where it always lies on the device;
// the masks count their step from a number there.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "kernels/launcher.h"

namespace ulmfit::model {

class WindowGraphs {
 public:
  // Before autograd knows the tensors that are used. ConfigError on a CPU, and where our kernels cannot draw the masks:
  // libtorch's operators take the step's number from the host.
  explicit WindowGraphs(at::Device device);

  // Does `work` for a window of that length: as it is the first time, recorded the second time, by its recording from then
  // on. It draws its masks with step 0, to which `step` is added; reads and writes nothing but `places`, memory that it
  // makes itself, and memory that stays as long as this object; copies nothing from or to the host, and does not wait.
  // Recordings are dropped when `places` are others than before.
  void run(std::int64_t length, std::int64_t step, const std::vector<const void*>& places,
           const std::function<void()>& work);

  std::size_t recorded() const;  // lengths that have a recording

 private:
  kernels::Launcher* launcher_;
  at::Tensor clock_;  // scalar int64
  std::vector<const void*> places_;
  std::map<std::int64_t, std::unique_ptr<kernels::Recording>> by_length_;  // null: done once
};

}  // namespace ulmfit::model
