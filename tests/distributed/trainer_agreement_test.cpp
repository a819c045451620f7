// The trainer compares what its ranks hold: one flipped bit ends the run with the name of the rank and of the tensor.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <functional>

#include "base/machine.h"
#include "tests/distributed/ranks.h"
#include "train/trainer.h"

namespace ulmfit::train {
namespace {

using test::ranks;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

// Gradients that depend on the step alone, in epochs of four steps; `before_step` can do harm.
class StepTask : public Task {
 public:
  std::function<void(std::int64_t step)> before_step = [](std::int64_t) {};

  StepTask() {
    groups_.push_back({"lower", {{"lower.weight", at::ones({3, 5}).requires_grad_(true), true}}});
    groups_.push_back({"upper", {{"upper.weight", at::ones({7}).requires_grad_(true), true}}});
  }
  at::Tensor tensor(std::size_t group) const { return groups_[group].parameters[0].tensor; }

  const std::vector<optim::LayerGroup>& groups() const override { return groups_; }
  std::string rate_unit() const override { return "tokens_per_s"; }
  std::int64_t steps_in_epoch(std::int64_t) const override { return 4; }
  void seek(const Position&) override {}
  StepSums accumulate_gradients(const Position& position, comm::GradReducer&) override {
    before_step(position.step);
    at::NoGradGuard no_grad;
    for (const auto& group : groups_) group.parameters[0].tensor.grad().add_(static_cast<double>(position.step + 1));
    return {1, 1, 1};
  }
  Evaluation validate() override { return {}; }
  interop::NamedTensors model_tensors() const override {
    return {{"lower.weight", tensor(0).detach()}, {"upper.weight", tensor(1).detach()}};
  }
  interop::NamedTensors carried_tensors() override { return {}; }
  void load_carried(const interop::NamedTensors&) override {}
  double data_wait_seconds() const override { return 0; }

 private:
  std::vector<optim::LayerGroup> groups_;
};

void flip_lowest_bit(const at::Tensor& tensor) {
  auto* value = tensor.detach().mutable_data_ptr<float>();
  *value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(*value) ^ 1U);
}

// Three epochs of four steps on all ranks.
void train(StepTask& task, optim::Optimizer& optimizer) {
  PlanOptions options;
  options.phases = optim::parse_unfreeze_plan("full", 2, 3);
  options.group_factors = {1, 1};
  const TrainingPlan plan(options, task);
  std::vector<optim::NamedParameter> parameters;
  std::vector<comm::ReducedParameter> reduced;
  for (const auto& group : task.groups()) {
    parameters.push_back(group.parameters[0]);
    reduced.push_back({parameters.back().name, parameters.back().tensor});
  }
  comm::GradReducer reducer(ranks(), reduced);
  Trainer(task, plan, optimizer, reducer, parameters, ranks(), nullptr, nullptr, {}).run();
}

std::string odd_rank() { return str("rank ", ranks().size() - 1, " (", host_name(), ")"); }

TEST(TrainerStateAgreement, AHealthyRunGoesThrough) {
  StepTask task;
  optim::Optimizer optimizer(task.groups(), {});
  EXPECT_NO_THROW(train(task, optimizer));
}

TEST(TrainerStateAgreement, AFlippedBitOfAWeightIsFoundAtTheEndOfTheEpoch) {
  StepTask task;
  optim::Optimizer optimizer(task.groups(), {});
  task.before_step = [&](std::int64_t step) {
    if (step == 5 && ranks().rank() == ranks().size() - 1) flip_lowest_bit(task.tensor(1));
  };
  EXPECT_THAT([&] { train(task, optimizer); },
              ThrowsMessage<CommError>(AllOf(HasSubstr("after step 8"), HasSubstr("\n  upper.weight: " + odd_rank()),
                                             Not(HasSubstr("lower")), Not(HasSubstr("exp_avg")))));
}

TEST(TrainerStateAgreement, AFlippedBitOfAMomentIsFound) {
  StepTask task;
  optim::Optimizer optimizer(task.groups(), {});
  task.before_step = [&](std::int64_t step) {
    if (step == 3 && ranks().rank() == ranks().size() - 1) flip_lowest_bit(optimizer.state().moments[0].second);
  };
  EXPECT_THAT(
      [&] { train(task, optimizer); },
      ThrowsMessage<CommError>(
          AllOf(HasSubstr("after step 4"), HasSubstr("\n  exp_avg.lower.weight: " + odd_rank()), Not(HasSubstr("upper")))));
}

TEST(TrainerStateAgreement, RanksThatStartFromOtherWeightsAreRefusedBeforeTheFirstStep) {
  StepTask task;
  optim::Optimizer optimizer(task.groups(), {});
  if (ranks().rank() == ranks().size() - 1) flip_lowest_bit(task.tensor(0));
  EXPECT_THAT([&] { train(task, optimizer); },
              ThrowsMessage<CommError>(AllOf(HasSubstr("after step 0"), HasSubstr("\n  lower.weight: " + odd_rank()))));
}

}  // namespace
}  // namespace ulmfit::train
