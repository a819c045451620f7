// The comparison behind verify-parity finds what it should: here runs that agree by construction, and runs with a fault.
#include "train/parity.h"

#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "comm/solo_communicator.h"
#include "tests/distributed/ranks.h"
#include "tests/support/step_task.h"

namespace ulmfit::train {
namespace {

using test::ranks;
using test::step_task_plan;
using test::StepTask;

struct Side {
  Side(const TrainingPlan& plan, comm::Communicator& comm, double share) : optimizer(task.groups(), {}) {
    task.share = share;
    reducer.emplace(comm, task.reduced_parameters());
    TrainerOptions options;
    options.log_every = 1;
    trainer.emplace(task, plan, optimizer, *reducer, comm, nullptr, &recorder, options);
  }
  ParityRun run() { return {*trainer, task, recorder}; }

  StepTask task;
  optim::Optimizer optimizer;
  std::optional<comm::GradReducer> reducer;
  LossRecorder recorder;
  std::optional<Trainer> trainer;
};

// `share` of each rank; `fault` happens on the last rank at every step.
ParityReport compare(double share, const std::function<void(StepTask&, std::int64_t)>& fault = {},
                     const ParityOptions& options = {.steps = 8, .states = 4}) {
  const StepTask counted;
  const TrainingPlan plan(step_task_plan(), counted);
  comm::SoloCommunicator solo;
  Side alone(plan, solo, 1);
  Side together(plan, ranks(), share);
  if (fault && ranks().rank() == ranks().size() - 1) {
    together.task.before_step = [&](std::int64_t step) { fault(together.task, step); };
  }
  const ParityRun one = alone.run();
  return compare_with_one_rank(ranks().rank() == 0 ? &one : nullptr, together.run(), plan, options, ranks());
}

TEST(Parity, RanksThatShareTheWorkAgree) {
  const ParityReport report = compare(1.0 / ranks().size());
  if (ranks().rank() != 0) return;
  EXPECT_EQ(report.steps, 8);
  ASSERT_EQ(report.states.size(), 4U);
  for (const auto& state : report.states) EXPECT_LT(state.gradient_difference, 1e-6) << state.step;
  EXPECT_LT(report.loss_difference, 1e-6);
}

TEST(Parity, RanksThatEachDivideByTheirOwnCountDoNot) {
  const ParityReport report = compare(1.0);
  if (ranks().rank() != 0) return;
  for (const auto& state : report.states) EXPECT_NEAR(state.gradient_difference, ranks().size() - 1, 1e-6);
}

TEST(Parity, AFaultOfOneRankIsFoundAtItsStep) {
  const double share = 1.0 / ranks().size();
  const ParityReport report = compare(share, [&](StepTask& task, std::int64_t step) {
    if (step == 4) task.tensor(1).mutable_grad().add_(0.25);
  });
  if (ranks().rank() != 0) return;
  for (const auto& state : report.states) {
    if (state.step == 4) {
      EXPECT_NEAR(state.gradient_difference, 0.25 / 5, 1e-6);
      EXPECT_EQ(state.parameter, "upper.weight");
    } else {
      EXPECT_LT(state.gradient_difference, 1e-6) << state.step;
    }
  }
}

constexpr ParityOptions kKinks{.steps = 8, .states = 4, .kink_above = 1e-3};

TEST(Parity, AKinkIsGoneWithWeightsNearby) {
  bool first = true;
  const ParityReport report = compare(
      1.0 / ranks().size(),
      [&](StepTask& task, std::int64_t step) {
        if (step == 4 && std::exchange(first, false)) task.tensor(1).mutable_grad().add_(0.25);
      },
      kKinks);
  if (ranks().rank() != 0) return;
  for (const auto& state : report.states) {
    EXPECT_LT(state.gradient_difference, 1e-6) << state.step;
    EXPECT_EQ(state.kinks, state.step == 4 ? 1 : 0) << state.step;
  }
  EXPECT_LT(report.loss_difference, 1e-6) << "both runs go on from where they stood";
}

TEST(Parity, AFaultIsNoKink) {
  const ParityReport report = compare(
      1.0 / ranks().size(),
      [&](StepTask& task, std::int64_t step) {
        if (step == 4) task.tensor(1).mutable_grad().add_(0.25);
      },
      kKinks);
  if (ranks().rank() != 0) return;
  EXPECT_NEAR(report.states[2].gradient_difference, 0.25 / 5, 1e-4);
  EXPECT_EQ(report.states[2].kinks, 3);
}

}  // namespace
}  // namespace ulmfit::train
