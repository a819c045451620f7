// The smallest task that a trainer can train, for tests of what the trainer does around it.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <functional>
#include <vector>

#include "train/task.h"
#include "train/training_plan.h"

namespace ulmfit::test {

// Gradients that depend on the step alone, in epochs of four steps; `before_step` can do harm.
class StepTask : public train::Task {
 public:
  double share = 1;  // of the gradient and the loss, that this rank computes
  std::function<void(std::int64_t step)> before_step = [](std::int64_t) {};
  std::function<train::Evaluation()> evaluation = [] { return train::Evaluation(); };

  explicit StepTask(at::Device device = at::kCPU) {
    const at::TensorOptions options(device);
    groups_.push_back({"lower", {{"lower.weight", at::ones({3, 5}, options).requires_grad_(true), true}}});
    groups_.push_back({"upper", {{"upper.weight", at::ones({7}, options).requires_grad_(true), true}}});
  }
  at::Tensor tensor(std::size_t group) const { return groups_[group].parameters[0].tensor; }

  const std::vector<optim::LayerGroup>& groups() const override { return groups_; }
  std::vector<comm::ReducedParameter> reduced_parameters() const override {
    return {{"lower.weight", tensor(0)}, {"upper.weight", tensor(1)}};
  }
  reports::MetricNames metric_names() const override { return reports::kLanguageModelMetrics; }
  std::int64_t steps_in_epoch(std::int64_t) const override { return 4; }
  std::int64_t tokens_in_epoch() const override { return 64; }
  void seek(const train::Position&) override {}
  train::StepSums accumulate_gradients(const train::Position& position, comm::GradReducer&) override {
    accumulated_ = position.step;
    before_step(position.step);
    at::NoGradGuard no_grad;
    const double gradient = static_cast<double>(position.step + 1) * share;
    for (const auto& group : groups_) {
      if (group.parameters[0].tensor.requires_grad()) group.parameters[0].tensor.grad().add_(gradient);
    }
    return {{at::full({}, gradient, tensor(0).options().dtype(at::kDouble).requires_grad(false))}, share, share};
  }
  void discard_step_unless(const at::Tensor& admitted) override {
    if (!admitted.item<bool>()) discarded.push_back(accumulated_);
  }
  train::Evaluation validate() override { return evaluation(); }
  interop::NamedTensors model_tensors() const override {
    return {{"lower.weight", tensor(0).detach()}, {"upper.weight", tensor(1).detach()}};
  }
  interop::NamedTensors recurrent_state() override { return {}; }
  void load_recurrent_state(const interop::NamedTensors&) override {}
  double data_wait_seconds() const override { return 0; }

  std::vector<std::int64_t> discarded;  // steps

 private:
  std::int64_t accumulated_ = -1;
  std::vector<optim::LayerGroup> groups_;
};

// One phase of three epochs.
inline train::PlanOptions step_task_plan() {
  train::PlanOptions options;
  options.phases = optim::parse_unfreeze_plan("full", 2, 3);
  options.group_factors = {1, 1};
  return options;
}

}  // namespace ulmfit::test
