#include "tests/gpu/fake/fake_device.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <optional>
#include <string>
#include <tuple>

#include "base/activity.h"
#include "comm/solo_communicator.h"
#include "model/to_device.h"
#include "optim/optimizer.h"
#include "perf/op_profile.h"
#include "tests/gpu/fake/fake_recording.h"
#include "tests/support/corpora.h"
#include "tests/support/temp_dir.h"
#include "train/checkpoint_store.h"
#include "train/classifier_task.h"
#include "train/lm_task.h"
#include "train/trainer.h"

namespace ulmfit::test {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

const std::string kRead = "aten::_local_scalar_dense";

at::Tensor numbers() { return at::arange(6, at::kFloat).reshape({2, 3}); }

TEST(FakeDevice, ComputesAsTheCpu) {
  const at::Tensor a = numbers().to(fake_device()).requires_grad_(true);
  EXPECT_EQ(a.device(), fake_device());
  const at::Tensor loss = at::mm(a, a.t()).narrow(1, 0, 1).exp().sum();
  torch::autograd::backward({loss}, {});
  EXPECT_EQ(a.grad().device(), fake_device());
  const at::Tensor b = numbers().requires_grad_(true);
  torch::autograd::backward({at::mm(b, b.t()).narrow(1, 0, 1).exp().sum()}, {});
  EXPECT_TRUE(a.grad().cpu().equal(b.grad()));
  at::Tensor c = at::zeros({2, 3}, at::TensorOptions(fake_device()));
  c[1].copy_(a.detach()[0]);  // into a view
  EXPECT_TRUE(c.cpu().equal(at::stack({at::zeros(3), numbers()[0]})));
}

TEST(FakeDevice, RefusesTensorsOfBothDevices) {
  const at::Tensor ours = numbers().to(fake_device());
  EXPECT_THAT([&] { static_cast<void>(ours + numbers()); },
              ThrowsMessage<std::exception>(HasSubstr("Expected all tensors to be on the same device")));
  EXPECT_THAT(
      [&] {
        static_cast<void>(at::cat({ours, numbers()}));
      },
      ThrowsMessage<std::exception>(HasSubstr("aten::cat got tensors of the CPU and of the device")));
  EXPECT_NO_THROW(static_cast<void>(ours * 2 + at::scalar_tensor(1.0)));  // numbers may come from anywhere
}

TEST(FakeDevice, CountsWhereTheHostWaits) {
  waits_of_the_host();
  const at::Tensor ours = numbers().to(fake_device());
  EXPECT_THAT(waits_of_the_host(), ElementsAre("copy to the device"));
  const at::Tensor quick = model::to_device(numbers(), fake_device());
  EXPECT_THAT(waits_of_the_host(), IsEmpty());
  EXPECT_EQ(quick.sum().item<float>(), 15);
  EXPECT_THAT(waits_of_the_host(), ElementsAre(kRead));
  static_cast<void>(quick.nonzero());
  static_cast<void>(quick.index({quick.gt(2)}));  // counts the chosen ones, by nonzero
  static_cast<void>(quick.cpu());
  EXPECT_THAT(waits_of_the_host(), ElementsAre("aten::nonzero", "aten::nonzero", "copy to the host"));
}

TEST(FakeDevice, ACopyToTheHostIsThereOnceTheHostHasWaited) {
  const at::Tensor ours = numbers().to(fake_device());
  const at::Tensor on_host = at::empty({2, 3}, at::TensorOptions(at::kFloat).pinned_memory(true));
  on_host.copy_(ours, /*non_blocking=*/true);
  EXPECT_TRUE(on_host.isnan().all().item<bool>());
  static_cast<void>(ours.sum().item<float>());
  EXPECT_TRUE(on_host.equal(numbers()));
}

TEST(FakeDevice, AProfileWaitsForNothingBeforeItsEnd) {
  const at::Tensor a = at::ones({200, 200}, at::TensorOptions(fake_device())).requires_grad_(true);
  perf::OpProfile profile(fake_device());
  waits_of_the_host();
  {
    const Activity activity("products");
    torch::autograd::backward({at::mm(a, a).sum()}, {});
  }
  EXPECT_THAT(waits_of_the_host(), IsEmpty());
  const perf::ProfileResult result = profile.stop();
  EXPECT_THAT(waits_of_the_host(), ElementsAre("the device"));
  EXPECT_GT(result.by_operator.at("aten::mm"), 0);
  EXPECT_GT(result.by_activity.at("products"), 0);
  EXPECT_GT(result.by_activity.at("other backward"), 0);
  EXPECT_GT(result.seconds, result.by_operator.at("aten::mm"));
}

TEST(FakeDevice, ACheckpointWaitsOnceForAllItsTensors) {
  const test::TempDir dir;
  train::CheckpointStore store(dir.path(), {});
  train::Snapshot snapshot;
  snapshot.step = 3;
  snapshot.model = {{"a", numbers().to(fake_device())}, {"b", (numbers() + 1).to(fake_device())}};
  snapshot.training = {{"of a", (numbers() + 2).to(fake_device())}, {"state", numbers() + 3}};
  snapshot.state = {{"step", 3}};
  store.prepare(snapshot);
  waits_of_the_host();
  store.save(snapshot);
  EXPECT_THAT(waits_of_the_host(), ElementsAre("a stream"));
  ASSERT_TRUE(store.finish());
  const train::Snapshot saved = store.load(3);
  EXPECT_TRUE(interop::find_tensor(saved.model, "b")->equal(numbers() + 1));
  EXPECT_TRUE(interop::find_tensor(saved.training, "of a")->equal(numbers() + 2));
  EXPECT_TRUE(interop::find_tensor(saved.training, "state")->equal(numbers() + 3));
}

// What follows holds for GPUs as well: our code takes the same way there.
// Counts between the beginnings of steps 1 and 3.
template <class Task>
class CountingTask : public Task {
 public:
  using Task::Task;
  std::vector<std::string> waits;

  train::StepSums accumulate_gradients(const train::Position& position, comm::GradReducer& reducer) override {
    if (position.step == 1) waits_of_the_host();
    if (position.step == 3) waits = waits_of_the_host();
    return Task::accumulate_gradients(position, reducer);
  }
};

// One rank of two whose sums run beside its computation; the other brings what this one has.
struct RankOfTwo : comm::SoloCommunicator {
  using SoloCommunicator::SoloCommunicator;
  int size() const override { return 2; }
  bool overlaps() const override { return true; }
  at::Tensor all_gather(const at::Tensor& mine) override { return at::stack({mine, mine}); }
  void start_sum(at::Tensor& tensor) override {
    EXPECT_EQ(Recorder::active(), nullptr) << "a sum would be recorded, of which nobody waits for the end";
    SoloCommunicator::start_sum(tensor);
  }
};

// By libtorch's operators and by kernels of ours, in both precisions.
class HostWaits : public ::testing::TestWithParam<std::tuple<bool, model::Precision>> {
 protected:
  void SetUp() override {
    encoder_.set_precision(std::get<model::Precision>(GetParam()));
    launcher_.cache = 16 << 20;
    if (std::get<bool>(GetParam())) scope_.emplace(fake_device().type(), launcher_);
  }
  void TearDown() override { EXPECT_EQ(launcher_.launches().empty(), !std::get<bool>(GetParam())); }

  // Of the trainer's steps 1 and 2, from the beginning of the one to that of the step after the other: step 0 makes what
  // stays.
  template <class Task>
  std::vector<std::string> of_two_steps(CountingTask<Task>& task, comm::Communicator& comm) {
    train::PlanOptions plan_options;
    plan_options.phases = optim::parse_unfreeze_plan("full", task.groups().size(), 1);
    plan_options.group_factors.assign(task.groups().size(), 1);
    const train::TrainingPlan plan(plan_options, task);
    EXPECT_GE(plan.total_steps(), 4);
    optim::Optimizer optimizer(task.groups(), {});
    comm::GradReducer reducer(comm, task.reduced_parameters());
    train::TrainerOptions options;
    options.clip = 1e-3;
    options.validates = false;
    train::Trainer(task, plan, optimizer, reducer, comm, nullptr, nullptr, options).run(4);
    return task.waits;
  }

  std::vector<std::string> of_a_language_model(train::MicroBatches micro_batches, comm::Communicator& comm,
                                               bool cuda_graph = false) {
    const data::ShardSet shards = counting_corpus(dir_.path(), {8000});
    model::SoftmaxHead head(encoder_);
    train::LmTaskOptions options;
    options.streams.streams = 20;
    options.streams.bptt = 40;  // 800 rows: several blocks of logits
    options.streams.variable_bptt = !cuda_graph;
    options.cuda_graph = cuda_graph;
    CountingTask<train::LmTask> task(encoder_, head, shards, nullptr, options, micro_batches, comm);
    return of_two_steps(task, comm);
  }

  RecordingLauncher launcher_;
  std::optional<LauncherScope> scope_;
  const test::TempDir dir_;
  comm::SoloCommunicator comm_{fake_device()};
  model::AwdLstm encoder_{{8100, 24, 40, 3}, 1, fake_device()};
};

TEST_P(HostWaits, AreNoneInALanguageModelsStep) { EXPECT_THAT(of_a_language_model({1, 0, 1}, comm_), IsEmpty()); }

TEST_P(HostWaits, AreNoneOnOneOfSeveralRanksInSeveralMicroBatches) {
  RankOfTwo comm(fake_device());
  EXPECT_THAT(of_a_language_model({4, 2, 2}, comm), IsEmpty());
}

TEST_P(HostWaits, AreNoneInAStepThatIsStartedWhole) {
  if (!std::get<bool>(GetParam())) return;  // libtorch's masks cannot be recorded
  RankOfTwo comm(fake_device());
  EXPECT_THAT(of_a_language_model({2, 1, 1}, comm, /*cuda_graph=*/true), IsEmpty());
  EXPECT_EQ(launcher_.recordings, 1);
  EXPECT_EQ(launcher_.starts, 3) << "of four steps";
}

TEST_P(HostWaits, AreNoneInAClassifiersStep) {
  const data::ShardSet shards =
      counting_corpus(dir_.path(), {90, 40, 120, 60, 15, 75, 33, 57, 20, 88, 90, 41, 37, 62, 51, 18, 80, 29, 44, 56},
                      data::kShardTokens, true);
  model::PoolingHead head({{72, 10, 12}, {.window = 16}}, 1, fake_device());
  train::ClassifierTaskOptions options;
  options.batches.batch_size = 5;
  options.ar = 2;
  options.tar = 1;
  CountingTask<train::ClassifierTask> task(encoder_, head, shards, nullptr, options, train::MicroBatches{1, 0, 1}, comm_);
  EXPECT_THAT(of_two_steps(task, comm_), IsEmpty());
}

std::string name_of(const ::testing::TestParamInfo<HostWaits::ParamType>& step) {
  const bool kernels = std::get<bool>(step.param), rounds = std::get<1>(step.param) == model::Precision::kBfloat16;
  return std::string(kernels ? "WithKernels" : "WithOperators") + (rounds ? "InBfloat16" : "InFloat32");
}
INSTANTIATE_TEST_SUITE_P(Step, HostWaits,
                         ::testing::Combine(::testing::Bool(),
                                            ::testing::Values(model::Precision::kFloat32, model::Precision::kBfloat16)),
                         name_of);

}  // namespace
}  // namespace ulmfit::test
