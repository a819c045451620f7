// A step whose gradients are not finite is skipped: whatever went wrong in it leaves no trace.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "comm/solo_communicator.h"
#include "tests/gpu/device.h"
#include "tests/support/corpora.h"
#include "tests/support/model_checks.h"
#include "tests/support/same_tensors.h"
#include "tests/support/temp_dir.h"
#include "train/classifier_task.h"
#include "train/lm_task.h"
#include "train/trainer.h"

namespace ulmfit::train {
namespace {

// Of one step: NaN in its forward pass, or a sound pass whose update is not made.
enum class Harm { kNaNInForward, kNoUpdate };

template <class Task>
class HarmedTask : public Task {
 public:
  using Task::Task;
  std::int64_t step = -1;
  Harm harm = Harm::kNoUpdate;

  StepSums accumulate_gradients(const Position& position, comm::GradReducer& reducer) override {
    if (position.step != step) return Task::accumulate_gradients(position, reducer);
    StepSums sums;
    if (harm == Harm::kNoUpdate) {
      sums = Task::accumulate_gradients(position, reducer);
    } else {
      at::Tensor weight = this->groups().front().parameters.front().tensor;
      const at::Tensor sound = weight.detach().clone();
      fill(weight, at::full_like(sound, std::numeric_limits<double>::quiet_NaN()));
      sums = Task::accumulate_gradients(position, reducer);
      EXPECT_TRUE(std::isnan(sums.nats.at(0).item<double>()));
      fill(weight, sound);
    }
    for (at::Tensor& nats : sums.nats) nats = at::full_like(nats, std::nan(""));  // the trainer skips the step
    return sums;
  }

 private:
  static void fill(at::Tensor weight, const at::Tensor& with) {
    at::NoGradGuard no_grad;
    weight.copy_(with);
  }
};

interop::NamedTensors trained(Task& task, std::int64_t epochs, comm::Communicator& comm) {
  const test::OneThread one_thread;
  PlanOptions plan_options;
  plan_options.phases = optim::parse_unfreeze_plan("full", task.groups().size(), epochs);
  plan_options.group_factors.assign(task.groups().size(), 1);
  const TrainingPlan plan(plan_options, task);
  EXPECT_GE(plan.total_steps(), 24);
  optim::Optimizer optimizer(task.groups(), {});
  comm::GradReducer reducer(comm, task.reduced_parameters());
  Trainer(task, plan, optimizer, reducer, comm, nullptr, nullptr, {}).run();
  interop::NamedTensors state = task.model_tensors();
  for (const auto& recurrent : task.recurrent_state()) state.push_back(recurrent);
  for (auto& [name, tensor] : state) tensor = tensor.cpu();
  return state;
}

class GpuSkippedStep : public test::DeviceTest {};

TEST_F(GpuSkippedStep, LeavesNoTraceInALanguageModel) {
  const test::TempDir dir;
  const data::ShardSet shards = test::counting_corpus(dir.path(), {50, 1, 80, 26});
  comm::SoloCommunicator comm(device_);
  LmTaskOptions options;
  options.streams = {.streams = 4, .bptt = 5, .variable_bptt = false, .shuffle = true, .backward = false, .seed = 1};
  for (const std::int64_t step : {3, 8}) {  // within an epoch, and its first step
    SCOPED_TRACE(step);
    const auto run = [&](Harm harm) {
      model::AwdLstm model({157, 6, 8, 2}, 5, device_);
      model::SoftmaxHead head(model);
      HarmedTask<LmTask> task(model, head, shards, nullptr, options, MicroBatches{2, 0, 2}, comm);
      task.step = step;
      task.harm = harm;
      return trained(task, 4, comm);
    };
    test::expect_same(run(Harm::kNaNInForward), run(Harm::kNoUpdate));
  }
}

TEST_F(GpuSkippedStep, LeavesNoTraceInAClassifier) {
  const test::TempDir dir;
  const data::ShardSet shards =
      test::counting_corpus(dir.path(), {5, 1, 30, 12, 7, 7, 19, 3, 26, 2, 11}, 40, /*labelled=*/true);
  comm::SoloCommunicator comm(device_);
  ClassifierTaskOptions options;
  options.batches.batch_size = 4;
  options.labels = {"a", "b", "c"};
  for (const std::int64_t passes : {1, 2}) {
    SCOPED_TRACE(passes);
    const auto run = [&](Harm harm) {
      model::AwdLstm encoder({123, 6, 8, 2}, 5, device_);
      model::PoolingHead head({{18, 5, 3}, {8, 16, true, true}}, 5, device_);
      HarmedTask<ClassifierTask> task(encoder, head, shards, nullptr, options, MicroBatches{passes, 0, passes}, comm);
      task.step = 4;
      task.harm = harm;
      return trained(task, 9, comm);
    };
    test::expect_same(run(Harm::kNaNInForward), run(Harm::kNoUpdate));
  }
}

}  // namespace
}  // namespace ulmfit::train
