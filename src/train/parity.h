// N ranks against one: the same training run twice, by all ranks together and by rank 0 alone, compared step by step.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "train/trainer.h"

namespace ulmfit::train {

struct ParityOptions {
  std::int64_t steps = 20;  // trained in each phase
  std::int64_t states = 4;  // of these, steps whose gradients are compared, evenly spread over each phase
  // For models with kinks. Where two values under a maximum, or one under a ReLU and zero, are equal but for rounding,
  // chance decides which way the gradient goes. So gradients that differ by more than this are compared again with all
  // weights a little larger, three times at most: a kink is gone there, a fault is not.
  double kink_above = std::numeric_limits<double>::infinity();
};

// One step from one state: the sums and the gradients of one rank and of all.
struct StepComparison {
  std::int64_t step = 0;  // global, of the plan
  std::size_t phase = 0;
  double loss_difference = 0;      // largest of all comparisons: a loss has no jumps
  double gradient_difference = 0;  // largest over all parameters, each relative to its gradient's largest value on one rank
  std::string parameter;           // that has it
  std::int64_t kinks = 0;          // comparisons given up before this one, whose gradients differed by more than kink_above
};

struct ParityReport {
  std::vector<StepComparison> states;
  std::int64_t steps = 0;      // trained, each loss compared
  double loss_difference = 0;  // largest, the two runs going on by themselves
  std::int64_t loss_step = 0;  // that has it
};

// Collects the loss of every step on rank 0; give it to a trainer with log_every = 1.
class LossRecorder : public Observer {
 public:
  void on_step_report(const reports::StepReport& report) override { losses_.push_back(report.loss); }
  void on_evaluation(const reports::EvaluationReport&) override {}
  nlohmann::json state() override { return {}; }
  const std::vector<double>& losses() const { return losses_; }

 private:
  std::vector<double> losses_;
};

// One of the two runs; nothing has been trained yet.
struct ParityRun {
  Trainer& trainer;
  const Task& task;
  const LossRecorder& recorder;
};

// Trains both runs through `options.steps` steps of each phase of `plan` (from its first step, with the weights the phase
// before has led to) and compares them. `alone` is null on ranks other than 0 of `comm`, those of `together`; they get an
// empty report. Collective.
ParityReport compare_with_one_rank(const ParityRun* alone, const ParityRun& together, const TrainingPlan& plan,
                                   const ParityOptions& options, comm::Communicator& comm);

}  // namespace ulmfit::train
