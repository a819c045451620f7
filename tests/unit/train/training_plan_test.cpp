#include "train/training_plan.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace ulmfit::train {
namespace {

// Epochs of 5, 3, 5, 3 ... steps, as variable windows make them.
struct FakeTask : Task {
  std::vector<optim::LayerGroup> layer_groups{{"low", {}}, {"high", {}}};
  const std::vector<optim::LayerGroup>& groups() const override { return layer_groups; }
  std::vector<comm::ReducedParameter> reduced_parameters() const override { return {}; }
  reports::MetricNames metric_names() const override { return reports::kLanguageModelMetrics; }
  std::int64_t steps_in_epoch(std::int64_t epoch) const override { return epoch % 2 == 0 ? 5 : 3; }
  std::int64_t tokens_in_epoch() const override { return 1000; }
  void seek(const Position&) override {}
  StepSums accumulate_gradients(const Position&, comm::GradReducer&) override { return {}; }
  Evaluation validate() override { return {}; }
  interop::NamedTensors model_tensors() const override { return {}; }
  interop::NamedTensors recurrent_state() override { return {}; }
  void discard_step_unless(const at::Tensor&) override {}
  void load_recurrent_state(const interop::NamedTensors&) override {}
  double data_wait_seconds() const override { return 0; }
};

PlanOptions two_phases() {
  PlanOptions options;
  options.phases = {{{false, true}, 1}, {{true, true}, 2}};
  options.group_factors = {0.5, 1};
  options.lr = 2;
  return options;
}

TEST(TrainingPlan, CountsStepsByReplayingEpochs) {
  const TrainingPlan plan(two_phases(), FakeTask());
  EXPECT_EQ(plan.total_steps(), 5 + 3 + 5);
  EXPECT_EQ(plan.epochs(), 3);
  const std::vector<std::int64_t> epochs{0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2};
  const std::vector<std::int64_t> indices{0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3, 4};
  for (std::int64_t step = 0; step < 13; ++step) {
    const auto i = static_cast<std::size_t>(step);
    EXPECT_EQ(plan.position(step).epoch, epochs[i]) << step;
    EXPECT_EQ(plan.position(step).index, indices[i]) << step;
    EXPECT_EQ(plan.phase(step), step < 5 ? 0U : 1U) << step;
    EXPECT_EQ(plan.ends_epoch(step), step == 4 || step == 7 || step == 12) << step;
  }
  EXPECT_DOUBLE_EQ(plan.epoch_fraction(0), 0);
  EXPECT_DOUBLE_EQ(plan.epoch_fraction(6), 1 + 1.0 / 3);
  EXPECT_DOUBLE_EQ(plan.epoch_fraction(13), 3);
}

TEST(TrainingPlan, APlanThatEndsWithinAnEpochHasSeenAPartOfIt) {
  PlanOptions options = two_phases();
  options.max_steps = 7;
  const TrainingPlan plan(options, FakeTask());
  EXPECT_EQ(plan.total_steps(), 7);
  EXPECT_DOUBLE_EQ(plan.epoch_fraction(6), 1 + 1.0 / 3);
  EXPECT_DOUBLE_EQ(plan.epoch_fraction(7), 1 + 2.0 / 3);
}

TEST(TrainingPlan, EachPhaseHasItsOwnTriangleAndFrozenGroupsHaveNoRate) {
  const TrainingPlan plan(two_phases(), FakeTask());
  const optim::ScheduleOptions schedule;
  for (std::int64_t step = 0; step < 13; ++step) {
    const bool first = step < 5;
    const double factor = optim::rate_at(schedule, first ? step : step - 5, first ? 5 : 8).lr_factor;
    const StepRates rates = plan.rates(step);
    EXPECT_DOUBLE_EQ(rates.lr_by_group[0], first ? 0 : factor);
    EXPECT_DOUBLE_EQ(rates.lr_by_group[1], 2 * factor);
  }
}

TEST(TrainingPlan, OneScheduleOverTheStage) {
  PlanOptions options = two_phases();
  options.one_schedule = true;
  const TrainingPlan plan(options, FakeTask());
  for (std::int64_t step = 0; step < 13; ++step) {
    EXPECT_DOUBLE_EQ(plan.rates(step).lr_by_group[1], 2 * optim::rate_at({}, step, 13).lr_factor);
  }
}

TEST(TrainingPlan, EndsAtTheStepsGivenAndTheScheduleWithIt) {
  PlanOptions options = two_phases();
  options.max_steps = 7;
  const TrainingPlan plan(options, FakeTask());
  EXPECT_EQ(plan.total_steps(), 7);
  EXPECT_TRUE(plan.ends_epoch(6));
  EXPECT_DOUBLE_EQ(plan.rates(6).lr_by_group[1], 2 * optim::rate_at({}, 1, 2).lr_factor);
}

TEST(TrainingPlan, RatesByPhase) {
  PlanOptions options = two_phases();
  options.phase_lr = {1, 8};
  const TrainingPlan plan(options, FakeTask());
  EXPECT_DOUBLE_EQ(plan.rates(5).lr_by_group[1], 8 * optim::rate_at({}, 0, 8).lr_factor);
  options.phase_lr = {1};
  EXPECT_THROW(TrainingPlan(options, FakeTask()), ConfigError);
}

// As the released scripts cut their triangles.
TEST(TrainingPlan, CutsByPhase) {
  PlanOptions options = two_phases();
  options.schedule.ratio = 8;
  options.phase_cut = {1.0 / 3, 0.125};
  const TrainingPlan plan(options, FakeTask());
  for (std::int64_t step = 0; step < 13; ++step) {
    optim::ScheduleOptions schedule = options.schedule;
    schedule.cut_frac = step < 5 ? 1.0 / 3 : 0.125;
    const double factor = optim::rate_at(schedule, step < 5 ? step : step - 5, step < 5 ? 5 : 8).lr_factor;
    EXPECT_DOUBLE_EQ(plan.rates(step).lr_by_group[1], 2 * factor) << step;
  }
  options.phase_cut = {0.5};
  EXPECT_THROW(TrainingPlan(options, FakeTask()), ConfigError) << "one a phase";
  options.phase_cut = {0.5, 1.5};
  EXPECT_THROW(TrainingPlan(options, FakeTask()), ConfigError) << "a share";
  options.phase_cut = {0.5, 0.5};
  options.one_schedule = true;
  EXPECT_THROW(TrainingPlan(options, FakeTask()), ConfigError) << "there is one triangle";
}

}  // namespace
}  // namespace ulmfit::train
