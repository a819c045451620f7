// The whole course of a training run, known before its first step: phases of epochs, the groups each trains, their rates.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "optim/schedule.h"
#include "optim/unfreeze_plan.h"
#include "train/task.h"

namespace ulmfit::train {

struct PlanOptions {
  std::vector<optim::Phase> phases;
  optim::ScheduleOptions schedule;
  bool one_schedule = false;          // one schedule over the stage instead of one a phase
  double lr = 0.004;                  // highest rate of the last group
  std::vector<double> phase_lr;       // highest rate by phase; empty: `lr` in all
  std::vector<double> phase_cut;      // the schedule's cut_frac by phase; empty: `schedule.cut_frac` in all
  std::vector<double> group_factors;  // times lr, by group
  std::int64_t max_steps = 0;         // ends the run (and its last schedule) there; 0: at the last epoch
};

// What the optimizer does in one step.
struct StepRates {
  std::vector<double> lr_by_group;  // 0 for frozen groups
  std::optional<double> beta1;
};

class TrainingPlan {
 public:
  // Counts steps by replaying the task's epochs. Throws ConfigError for nonsense.
  TrainingPlan(PlanOptions options, const Task& task);

  std::int64_t total_steps() const { return first_steps_.back(); }
  std::int64_t epochs() const { return static_cast<std::int64_t>(epoch_steps_.size()); }
  std::size_t phases() const { return options_.phases.size(); }

  Position position(std::int64_t step) const;  // of global step `step`, also of total_steps() (past the end)
  std::size_t phase(std::int64_t step) const;
  std::int64_t first_step(std::size_t phase) const { return first_steps_.at(phase); }  // of phases(): the total
  double epoch_fraction(std::int64_t step) const;                                      // epochs done before `step`
  bool ends_epoch(std::int64_t step) const;  // the step after which an epoch, or the run, is over
  const std::vector<bool>& trainable(std::size_t phase) const { return options_.phases[phase].trainable; }
  StepRates rates(std::int64_t step) const;

  // The freeze plan as lines for the log.
  std::vector<std::string> describe(const std::vector<optim::LayerGroup>& groups) const;

 private:
  optim::ScheduleOptions schedule(std::size_t phase) const;
  double highest_rate(std::size_t phase) const {
    return options_.phase_lr.empty() ? options_.lr : options_.phase_lr[phase];
  }

  PlanOptions options_;
  std::vector<std::int64_t> epoch_steps_;  // first step of each epoch
  std::int64_t last_epoch_end_ = 0;        // of the whole epoch, which the plan may not reach
  std::vector<std::int64_t> first_steps_;  // first step of each phase, and the total
};

}  // namespace ulmfit::train
