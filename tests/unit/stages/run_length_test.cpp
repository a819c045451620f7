#include "stages/run_length.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "stages/options.h"

namespace ulmfit::stages {
namespace {

using Unit = config::Length::Unit;

// Epochs of 10, 6, 10, 6 ... steps and 800 tokens.
struct FakeTask : train::Task {
  std::vector<optim::LayerGroup> layer_groups{{"low", {}}, {"high", {}}};
  const std::vector<optim::LayerGroup>& groups() const override { return layer_groups; }
  std::vector<comm::ReducedParameter> reduced_parameters() const override { return {}; }
  reports::MetricNames metric_names() const override { return reports::kLanguageModelMetrics; }
  std::int64_t steps_in_epoch(std::int64_t epoch) const override { return epoch % 2 == 0 ? 10 : 6; }
  std::int64_t tokens_in_epoch() const override { return 800; }
  void seek(const train::Position&) override {}
  train::StepSums accumulate_gradients(const train::Position&, comm::GradReducer&) override { return {}; }
  train::Evaluation validate() override { return {}; }
  interop::NamedTensors model_tensors() const override { return {}; }
  interop::NamedTensors recurrent_state() override { return {}; }
  void discard_step_unless(const at::Tensor&) override {}
  void load_recurrent_state(const interop::NamedTensors&) override {}
  double data_wait_seconds() const override { return 0; }
};

TEST(RunLength, EveryUnitInSteps) {
  const FakeTask task;
  EXPECT_EQ(steps_of({Unit::kSteps, 7}, task), 7);
  EXPECT_EQ(steps_of({Unit::kEpochs, 1}, task), 10);
  EXPECT_EQ(steps_of({Unit::kEpochs, 3}, task), 26);
  EXPECT_EQ(steps_of({Unit::kEpochs, 1.5}, task), 13);
  EXPECT_EQ(steps_of({Unit::kTokens, 800}, task), 10);
  EXPECT_EQ(steps_of({Unit::kTokens, 400}, task), 5);
  EXPECT_EQ(steps_of({Unit::kTokens, 2000}, task), 21);
  EXPECT_EQ(steps_of({Unit::kTokens, 1}, task), 1) << "at least one";
  for (const Unit unit : {Unit::kSteps, Unit::kEpochs, Unit::kTokens}) EXPECT_EQ(steps_of({unit, 0}, task), 0);
  EXPECT_THROW(steps_of({Unit::kTokens, 1e15}, task), ConfigError);
}

TEST(RunLength, EpochsThatHoldSteps) {
  const FakeTask task;
  EXPECT_EQ(epochs_holding(0, task), 0);
  EXPECT_EQ(epochs_holding(10, task), 1);
  EXPECT_EQ(epochs_holding(11, task), 2);
  EXPECT_EQ(epochs_holding(26, task), 3);
  EXPECT_THROW(epochs_holding(std::int64_t{1} << 40, task), ConfigError);
}

TEST(OptimOptions, TheLengthOfTrainingInEveryUnit) {
  const FakeTask task;
  const auto plan = [&](config::Length epochs, config::Length steps) {
    OptimOptions options;
    options.epochs = epochs;
    options.max_steps = steps;
    const train::TrainingPlan made(options.plan(task, 8), task);
    return std::pair{made.total_steps(), made.epochs()};
  };
  const config::Length none{Unit::kSteps, 0};
  EXPECT_EQ(plan({Unit::kEpochs, 2}, none), std::pair(std::int64_t{16}, std::int64_t{2}));
  EXPECT_EQ(plan({Unit::kSteps, 13}, none), std::pair(std::int64_t{13}, std::int64_t{2}));
  EXPECT_EQ(plan({Unit::kTokens, 1600}, none), std::pair(std::int64_t{16}, std::int64_t{2}));
  EXPECT_EQ(plan({Unit::kEpochs, 4}, {Unit::kEpochs, 1.5}), std::pair(std::int64_t{13}, std::int64_t{2}));
  EXPECT_EQ(plan({Unit::kSteps, 13}, {Unit::kSteps, 4}), std::pair(std::int64_t{4}, std::int64_t{1}));
}

TEST(OptimOptions, NonsenseIsRefused) {
  const FakeTask task;
  OptimOptions options;
  options.phase_lr = {"0.1", "x"};
  EXPECT_THROW(options.plan(task, 8), ConfigError);
  options.phase_lr = {"-0.1"};
  EXPECT_THROW(options.plan(task, 8), ConfigError);
}

TEST(LearningRate, FollowsTheGlobalBatch) {
  OptimOptions optim;
  EXPECT_EQ(optim.lr_scale(1024), 1);
  optim.lr_rule = LrRule::kLinear;
  EXPECT_THROW(optim.lr_scale(64), ConfigError);
  optim.lr_batch = 64;
  EXPECT_DOUBLE_EQ(optim.lr_scale(256), 4);
  EXPECT_DOUBLE_EQ(optim.lr_scale(32), 0.5);
  optim.lr_rule = LrRule::kSqrt;
  EXPECT_DOUBLE_EQ(optim.lr_scale(256), 2);
}

}  // namespace
}  // namespace ulmfit::stages
