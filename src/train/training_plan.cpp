#include "train/training_plan.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace ulmfit::train {

TrainingPlan::TrainingPlan(PlanOptions options, const Task& task) : options_(std::move(options)) {
  optim::check_options(options_.schedule);
  const auto one_a_phase = [&](const std::vector<double>& values, const char* option) {
    if (values.empty() || values.size() == options_.phases.size()) return;
    throw ConfigError(str(option, " has ", values.size(), " values, the unfreezing plan has ", options_.phases.size(),
                          " phases; give one a phase"));
  };
  one_a_phase(options_.phase_lr, "optim.phase-lr");
  one_a_phase(options_.phase_cut, "schedule.phase-cut-frac");
  if (!options_.phase_cut.empty() && options_.one_schedule) {
    throw ConfigError("schedule.phase-cut-frac is of schedules by phase; give schedule.span = phase");
  }
  for (std::size_t p = 0; p < options_.phase_cut.size(); ++p) optim::check_options(schedule(p));
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  first_steps_.push_back(0);
  for (const auto& phase : options_.phases) {
    for (std::int64_t e = 0; e < phase.epochs && (options_.max_steps == 0 || step < options_.max_steps); ++e, ++epoch) {
      epoch_steps_.push_back(step);
      step += task.steps_in_epoch(epoch);
      last_epoch_end_ = step;
    }
    if (options_.max_steps > 0) step = std::min(step, options_.max_steps);
    first_steps_.push_back(step);
  }
  if (step == 0) throw ConfigError("nothing to train: the plan has no step; raise --epochs");
}

std::size_t TrainingPlan::phase(std::int64_t step) const {
  const auto next = std::upper_bound(first_steps_.begin(), first_steps_.end(), step);
  const auto phase = static_cast<std::size_t>(next - first_steps_.begin()) - 1;
  return std::min(phase, options_.phases.size() - 1);
}

Position TrainingPlan::position(std::int64_t step) const {
  const auto next = std::upper_bound(epoch_steps_.begin(), epoch_steps_.end(), step);
  const auto epoch = (next - epoch_steps_.begin()) - 1;
  return {step, epoch, step - epoch_steps_[static_cast<std::size_t>(epoch)]};
}

double TrainingPlan::epoch_fraction(std::int64_t step) const {
  const Position at = position(std::min(step, total_steps() - 1));
  const auto epoch = static_cast<std::size_t>(at.epoch);
  const std::int64_t end = epoch + 1 < epoch_steps_.size() ? epoch_steps_[epoch + 1] : last_epoch_end_;
  return static_cast<double>(at.epoch) +
         static_cast<double>(step - epoch_steps_[epoch]) / static_cast<double>(end - epoch_steps_[epoch]);
}

bool TrainingPlan::ends_epoch(std::int64_t step) const {
  return step + 1 == total_steps() || std::binary_search(epoch_steps_.begin(), epoch_steps_.end(), step + 1);
}

optim::ScheduleOptions TrainingPlan::schedule(std::size_t phase) const {
  optim::ScheduleOptions of_phase = options_.schedule;
  if (!options_.phase_cut.empty()) of_phase.cut_frac = options_.phase_cut[phase];
  return of_phase;
}

StepRates TrainingPlan::rates(std::int64_t step) const {
  const std::size_t p = phase(step);
  const std::int64_t first = options_.one_schedule ? 0 : first_steps_[p];
  const std::int64_t end = options_.one_schedule ? total_steps() : first_steps_[p + 1];
  const optim::Rate rate = optim::rate_at(schedule(p), step - first, end - first);
  const double top = highest_rate(p);
  StepRates out;
  out.beta1 = rate.beta1;
  for (std::size_t g = 0; g < options_.group_factors.size(); ++g) {
    out.lr_by_group.push_back(trainable(p)[g] ? top * options_.group_factors[g] * rate.lr_factor : 0.0);
  }
  return out;
}

std::vector<std::string> TrainingPlan::describe(const std::vector<optim::LayerGroup>& groups) const {
  std::vector<std::string> names;
  for (const auto& group : groups) names.push_back(group.name);
  std::vector<std::vector<double>> highest(options_.phases.size());
  for (std::size_t p = 0; p < highest.size(); ++p) {
    for (const double factor : options_.group_factors) highest[p].push_back(highest_rate(p) * factor);
  }
  return optim::describe(options_.phases, names, highest);
}

}  // namespace ulmfit::train
