#include "train/parity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace ulmfit::train {
namespace {

constexpr std::int64_t kNearby = 3;  // comparisons with other weights
constexpr double kMoved = 1e-4;      // so much larger each time: far more than rounding

Snapshot copy_of(Snapshot snapshot) {
  for (auto* tensors : {&snapshot.model, &snapshot.training}) {
    for (auto& [name, tensor] : *tensors) tensor = tensor.clone();
  }
  return snapshot;
}

Snapshot nearby(Snapshot snapshot, std::int64_t times) {
  for (auto& [name, tensor] : snapshot.model) tensor = tensor * (1 + kMoved * static_cast<double>(times));
  return snapshot;
}

double relative_difference(const at::Tensor& expected, const at::Tensor& found) {
  const double largest = expected.abs().max().item<double>();
  const double difference = (found - expected).abs().max().item<double>();
  if (difference == 0) return 0;
  return largest > 0 && !std::isnan(difference) ? difference / largest : std::numeric_limits<double>::infinity();
}

double loss_of(const StepTotals& sums) { return sums.nats / sums.targets; }

double loss_difference(double expected, double found) {
  const double difference = std::abs(found - expected);
  return std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
}

void compare_gradients(const Task& alone, const Task& together, StepComparison& comparison) {
  at::NoGradGuard no_grad;
  for (std::size_t g = 0; g < alone.groups().size(); ++g) {
    for (std::size_t i = 0; i < alone.groups()[g].parameters.size(); ++i) {
      const auto& parameter = alone.groups()[g].parameters[i];
      if (!parameter.tensor.requires_grad()) continue;
      const double difference =
          relative_difference(parameter.tensor.grad(), together.groups()[g].parameters[i].tensor.grad());
      if (!comparison.parameter.empty() && difference <= comparison.gradient_difference) continue;
      comparison.gradient_difference = difference;
      comparison.parameter = parameter.name;
    }
  }
}

// Both runs compute the next step from the state `from`.
void compare_from(const std::optional<Snapshot>& from, const ParityRun* alone, const ParityRun& together,
                  StepComparison& comparison) {
  together.trainer.restore(from);
  const StepTotals of_all = together.trainer.compute_gradients();
  if (alone == nullptr) return;
  alone->trainer.restore(from);
  const StepTotals of_one = alone->trainer.compute_gradients();
  const double difference = of_one.targets == of_all.targets ? loss_difference(loss_of(of_one), loss_of(of_all))
                                                             : std::numeric_limits<double>::infinity();
  comparison.loss_difference = std::max(comparison.loss_difference, difference);
  comparison.parameter.clear();
  compare_gradients(alone->task, together.task, comparison);
}

// Both runs compute the next step from the state of the run alone, and then stand again where each of them stood.
StepComparison compare_step(const ParityRun* alone, const ParityRun& together, std::size_t phase, double kink_above,
                            comm::Communicator& comm) {
  StepComparison comparison;
  comparison.step = together.trainer.step();
  comparison.phase = phase;
  const Snapshot own = copy_of(together.trainer.snapshot());
  std::optional<Snapshot> given;
  if (alone != nullptr) given = copy_of(alone->trainer.snapshot());
  compare_from(given, alone, together, comparison);
  while (comm.broadcast_flag(comparison.gradient_difference > kink_above && comparison.kinks < kNearby, 0)) {
    ++comparison.kinks;
    compare_from(given ? std::optional(nearby(*given, comparison.kinks)) : std::nullopt, alone, together, comparison);
  }
  if (alone != nullptr) alone->trainer.restore(given);
  together.trainer.restore(alone != nullptr ? std::optional<Snapshot>(own) : std::nullopt);
  return comparison;
}

void compare_losses(const ParityRun& alone, const ParityRun& together, const std::vector<std::int64_t>& steps,
                    ParityReport& report) {
  const auto& one = alone.recorder.losses();
  const auto& all = together.recorder.losses();
  report.steps = static_cast<std::int64_t>(steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const bool both = i < one.size() && i < all.size();
    const double difference = both ? loss_difference(one[i], all[i]) : std::numeric_limits<double>::infinity();
    if (i > 0 && difference <= report.loss_difference) continue;
    report.loss_difference = difference;
    report.loss_step = steps[i];
  }
}

}  // namespace

ParityReport compare_with_one_rank(const ParityRun* alone, const ParityRun& together, const TrainingPlan& plan,
                                   const ParityOptions& options, comm::Communicator& comm) {
  ParityReport report;
  std::vector<std::int64_t> trained;
  for (std::size_t phase = 0; phase < plan.phases(); ++phase) {
    const std::int64_t first = plan.first_step(phase);
    const std::int64_t count = std::min(options.steps, plan.first_step(phase + 1) - first);
    const std::int64_t states = std::min(options.states, count);
    if (alone != nullptr) alone->trainer.skip_to(first);
    together.trainer.skip_to(first);
    for (std::int64_t state = 0; state < states; ++state) {
      report.states.push_back(compare_step(alone, together, phase, options.kink_above, comm));
      const std::int64_t until = first + count * (state + 1) / states;
      for (std::int64_t step = together.trainer.step(); step < until; ++step) trained.push_back(step);
      if (alone != nullptr) alone->trainer.run(until);
      together.trainer.run(until);
    }
  }
  if (alone == nullptr) return {};
  compare_losses(*alone, together, trained, report);
  return report;
}

}  // namespace ulmfit::train
