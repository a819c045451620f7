// A language model whose steps are recorded and started whole is the one whose steps are queued operator by operator.
#include "model/window_graphs.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/solo_communicator.h"
#include "stages/compute.h"
#include "stages/softmax_options.h"
#include "tests/gpu/device.h"
#include "tests/support/corpora.h"
#include "tests/support/model_checks.h"
#include "tests/support/same_tensors.h"
#include "tests/support/temp_dir.h"
#include "train/lm_task.h"
#include "train/trainer.h"

namespace ulmfit::train {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class GpuWindowGraphs : public test::DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    if (device_.is_cpu()) GTEST_SKIP() << "a CPU records nothing";
#if ULMFIT_FAKE_DEVICE
    if (!scope_) scope_.emplace(device_.type(), launcher_);
#endif
    stages::use_precision(stages::Arithmetic::kFp32, device_);
    stages::reproducible_kernels(true, device_.type());
    options_.streams = {.streams = 4, .bptt = 10, .variable_bptt = true, .shuffle = true, .backward = false, .seed = 7};
  }
  void TearDown() override { stages::reproducible_kernels(false, device_.type()); }

  struct Run {
    std::string phases = "full";
    std::int64_t epochs = 2;
    model::Precision precision = model::Precision::kFloat32;
    std::function<void(std::int64_t step, Task&)> before_step = [](std::int64_t, Task&) {};
    std::int64_t until = std::numeric_limits<std::int64_t>::max();
    std::optional<Snapshot> from;
  };

  // Calls before_step.
  class WatchedTask : public LmTask {
   public:
    using LmTask::LmTask;
    std::function<void(std::int64_t, Task&)> before_step;
    StepSums accumulate_gradients(const Position& position, comm::GradReducer& reducer) override {
      before_step(position.step, *this);
      return LmTask::accumulate_gradients(position, reducer);
    }
  };

  Snapshot trained(bool recorded, const Run& run) const {
    const test::OneThread one_thread;
    comm::SoloCommunicator comm(device_);
    model::AwdLstm model({337, 6, 8, 2}, 5, device_);
    model.set_precision(run.precision);
    model::SoftmaxHead head(model);
    LmTaskOptions options = options_;
    options.cuda_graph = recorded;
    WatchedTask task(model, head, shards_, nullptr, options, {1, 0, 1}, comm);
    task.before_step = run.before_step;
    PlanOptions plan_options;
    plan_options.phases = optim::parse_unfreeze_plan(run.phases, task.groups().size(), run.epochs);
    plan_options.group_factors.assign(task.groups().size(), 1);
    const TrainingPlan plan(plan_options, task);
    optim::Optimizer optimizer(task.groups(), {});
    comm::GradReducer reducer(comm, task.reduced_parameters());
    TrainerOptions trainer_options;
    trainer_options.validates = false;
    Trainer trainer(task, plan, optimizer, reducer, comm, nullptr, nullptr, trainer_options);
    trainer.restore(run.from);
    trainer.run(run.until);
    Snapshot end = trainer.snapshot();
    for (auto* tensors : {&end.model, &end.training}) {
      for (auto& [name, tensor] : *tensors) tensor = tensor.detach().cpu().clone();
    }
    return end;
  }

  static void expect_same(Snapshot found, Snapshot expected) {
    EXPECT_EQ(found.step, expected.step);
    for (Snapshot* of : {&found, &expected}) of->state["counters"].erase("elapsed");
    EXPECT_EQ(found.state, expected.state);  // the loss since the last report among it
    test::expect_same(found.model, expected.model);
    test::expect_same(found.training, expected.training);
  }

  test::TempDir dir_;
  data::ShardSet shards_ = test::counting_corpus(dir_.path(), {90, 41, 130, 76});
  LmTaskOptions options_;
};

TEST_F(GpuWindowGraphs, TrainTheSameWeights) {
  for (const auto precision : {model::Precision::kFloat32, model::Precision::kBfloat16}) {
    Run run;
    run.precision = precision;
    run.until = 13;  // between reports, so that the state has their loss
    expect_same(trained(true, run), trained(false, run));
  }
#if ULMFIT_FAKE_DEVICE
  EXPECT_GE(launcher_.recordings, 4) << "of both runs, by length";
  EXPECT_GT(launcher_.starts, 2 * launcher_.recordings);
#endif
}

// The first phase trains other layers: gradients lie elsewhere in the second.
TEST_F(GpuWindowGraphs, AreMadeAnewWhereLayersAreUnfrozen) {
  options_.streams.variable_bptt = false;
  Run run;
  run.phases = "1,1";
  expect_same(trained(true, run), trained(false, run));
}

TEST_F(GpuWindowGraphs, LeaveNoTraceOfAStepThatIsSkipped) {
  options_.streams.variable_bptt = false;    // all steps but the first two, and two shorter ones, are started whole
  for (const std::int64_t step : {7, 11}) {  // of 9 an epoch
    Run run;
    run.before_step = [&](std::int64_t now, Task& task) {  // NaN in all embeddings, gone when the next step begins
      const at::NoGradGuard no_grad;
      at::Tensor weight = task.groups().back().parameters.front().tensor;
      if (now == step) weight.mul_(std::nan(""));
      if (now == step + 1) weight.fill_(0.01);
    };
    expect_same(trained(true, run), trained(false, run));
  }
}

// From a checkpoint of a run with recordings to one without, and back.
TEST_F(GpuWindowGraphs, AreNoPartOfACheckpoint) {
  const Snapshot whole = trained(false, {});
  for (const bool recorded : {false, true}) {
    Run first, second;
    first.until = 9;
    second.from = trained(recorded, first);
    ASSERT_EQ(second.from->step, 9);
    expect_same(trained(!recorded, second), whole);
  }
}

TEST_F(GpuWindowGraphs, AreRecordedOnceForALength) {
  model::WindowGraphs graphs(device_);
  const at::Tensor sum = at::zeros({}, at::TensorOptions(device_));
  int calls = 0;
  const auto work = [&] {
    ++calls;
    sum.add_(1);
  };
  for (std::int64_t step = 0; step < 5; ++step) {
    for (const std::int64_t length : {3, 8}) graphs.run(length, step, {sum.const_data_ptr()}, work);
  }
  EXPECT_EQ(calls, 4) << "done and recorded";
  EXPECT_EQ(graphs.recorded(), 2U);
  EXPECT_EQ(sum.item<float>(), 10);
  graphs.run(3, 5, {nullptr}, work);
  EXPECT_EQ(graphs.recorded(), 0U);
  EXPECT_EQ(sum.item<float>(), 11);
}

TEST_F(GpuWindowGraphs, AreRefusedWhereTheyCannotBe) {
  const auto make = [&](at::Device device, MicroBatches micro_batches, const stages::SoftmaxOptions& softmax) {
    comm::SoloCommunicator comm(device);
    model::AwdLstm model({337, 6, 8, 2}, 5, device);
    const auto head = softmax.make(model, 1);
    LmTaskOptions options = options_;
    options.cuda_graph = true;
    const LmTask task(model, *head, shards_, nullptr, options, micro_batches, comm);
  };
  EXPECT_THAT([&] { make(at::kCPU, {1, 0, 1}, {}); }, ThrowsMessage<ConfigError>(HasSubstr("computes on the CPU")));
  EXPECT_THAT([&] { make(device_, {4, 0, 2}, {}); }, ThrowsMessage<ConfigError>(HasSubstr("is split into 2")));
  const stages::SoftmaxOptions sampled{.kind = stages::SoftmaxKind::kSampled, .cutoffs = {}, .samples = 90};
  EXPECT_THAT([&] { make(device_, {1, 0, 1}, sampled); }, ThrowsMessage<ConfigError>(HasSubstr("approximate softmax")));
#if ULMFIT_FAKE_DEVICE
  scope_.reset();
  EXPECT_THAT([&] { make(device_, {1, 0, 1}, {}); }, ThrowsMessage<ConfigError>(HasSubstr("ulmfit's own GPU kernels")));
#endif
}

}  // namespace
}  // namespace ulmfit::train
