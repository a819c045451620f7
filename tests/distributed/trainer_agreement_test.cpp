// The trainer compares what its ranks hold: one flipped bit ends the run with the name of the rank and of the tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "base/machine.h"
#include "tests/distributed/ranks.h"
#include "tests/support/mean_of_weights.h"
#include "tests/support/step_task.h"
#include "train/trainer.h"

namespace ulmfit::train {
namespace {

using test::ranks;
using test::step_task_plan;
using test::StepTask;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

void flip_lowest_bit(const at::Tensor& tensor) {
  auto* value = tensor.detach().mutable_data_ptr<float>();
  *value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(*value) ^ 1U);
}

// Three epochs of four steps on all ranks.
void train(StepTask& task, optim::Optimizer& optimizer, WeightAverage* average = nullptr) {
  const TrainingPlan plan(step_task_plan(), task);
  comm::GradReducer reducer(ranks(), task.reduced_parameters());
  Trainer(task, plan, optimizer, reducer, ranks(), nullptr, nullptr, {}, average).run();
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

TEST(TrainerStateAgreement, AnAverageThatDiffersIsFound) {
  StepTask task;
  task.evaluation = [] { return Evaluation{1.0, {{"loss", 1.0}}, {}}; };
  optim::Optimizer optimizer(task.groups(), {});
  test::MeanOfWeights mean(task.model_tensors());
  task.before_step = [&](std::int64_t step) {
    if (step == 6 && ranks().rank() == ranks().size() - 1) mean.averages()[0].second.add_(1);  // a bit could round away
  };
  EXPECT_THAT(
      [&] { train(task, optimizer, &mean); },
      ThrowsMessage<CommError>(AllOf(HasSubstr("after step 8"), HasSubstr("\n  average of lower.weight: " + odd_rank()),
                                     Not(HasSubstr("upper")))));
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
