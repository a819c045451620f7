#include "model/window_graphs.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/activity.h"
#include "base/error.h"
#include "model/gpu_kernels.h"

namespace ulmfit::model {

WindowGraphs::WindowGraphs(at::Device device) : launcher_(kernels_on(device)) {
  if (device.is_cpu()) {
    throw ConfigError("--train.cuda-graph records what a GPU is given, and this run computes on the CPU: leave it out");
  }
  if (launcher_ == nullptr) {
    throw ConfigError(
        "--train.cuda-graph needs ulmfit's own GPU kernels, which are not used here (a warning above says why, or "
        "ULMFIT_GPU_KERNELS is 0): leave it out");
  }
  launcher_->prepare_to_record();
  clock_ = at::zeros({}, at::TensorOptions(device).dtype(at::kLong));
}

void WindowGraphs::run(std::int64_t length, std::int64_t step, const std::vector<const void*>& places,
                       const std::function<void()>& work) {
  if (places != places_) {
    by_length_.clear();
    places_ = places;
  }
  clock_.fill_(step);
  const auto [found, first] = by_length_.try_emplace(length);
  std::unique_ptr<kernels::Recording>& recording = found->second;
  if (recording == nullptr) {
    const kernels::ClockScope scope(*launcher_, clock_.const_data_ptr());
    if (first) return work();  // libraries choose their kernels, and take memory, when they are first asked
    recording = launcher_->record(work);
  }
  const Activity activity("recorded step");
  recording->start();
}

std::size_t WindowGraphs::recorded() const {
  return static_cast<std::size_t>(
      std::count_if(by_length_.begin(), by_length_.end(), [](const auto& of) { return of.second != nullptr; }));
}

}  // namespace ulmfit::model
