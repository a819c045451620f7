#include "tests/gpu/fake/fake_device.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <optional>

#include "comm/solo_communicator.h"
#include "model/to_device.h"
#include "optim/gradient_norm.h"
#include "optim/optimizer.h"
#include "tests/support/corpora.h"
#include "tests/support/host_kernels.h"
#include "tests/support/temp_dir.h"
#include "train/classifier_task.h"
#include "train/lm_task.h"

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

// What follows holds for GPUs as well: our code takes the same way there.
// By libtorch's operators, and by kernels of ours.
class HostWaits : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) scope_.emplace(fake_device().type(), launcher_);
  }
  void TearDown() override { EXPECT_EQ(launcher_.launches().empty(), !GetParam()); }

  // Of the second of two steps: the first makes what stays.
  std::vector<std::string> of_a_step(train::Task& task, optim::Optimizer& optimizer, comm::GradReducer& reducer) {
    task.seek({});
    std::vector<std::string> waits;
    for (std::int64_t step = 0; step < 2; ++step) {
      waits_of_the_host();
      reducer.zero();
      train::Position position;
      position.step = step;
      position.index = step;
      task.accumulate_gradients(position, reducer);
      reducer.reduce();
      const auto gradients = optim::gradients(optimizer.groups());
      optim::clip_(gradients, optim::global_norm(gradients), 1e-3);
      optimizer.step(std::vector<double>(optimizer.groups().size(), 1e-3), 0.9);
      waits = waits_of_the_host();
    }
    return waits;
  }

  HostLauncher launcher_;
  std::optional<LauncherScope> scope_;
  const test::TempDir dir_;
  comm::SoloCommunicator comm_{fake_device()};
  model::AwdLstm encoder_{{4000, 24, 40, 3}, 1, fake_device()};
};

TEST_P(HostWaits, OfALanguageModelAreForLossAndNorm) {
  const data::ShardSet shards = counting_corpus(dir_.path(), {4000});
  model::SoftmaxHead head(encoder_);
  train::LmTaskOptions options;
  options.streams.streams = 40;
  options.streams.bptt = 40;  // 1,600 rows: four blocks of logits
  train::LmTask task(encoder_, head, shards, nullptr, options, {1, 0, 1}, comm_);
  optim::Optimizer optimizer(task.groups(), {});
  comm::GradReducer reducer(comm_, task.reduced_parameters());
  EXPECT_THAT(of_a_step(task, optimizer, reducer), ElementsAre(kRead, kRead));
}

TEST_P(HostWaits, OfAClassifierAreForLossAndNorm) {
  const data::ShardSet shards =
      counting_corpus(dir_.path(), {90, 40, 120, 60, 15, 75, 33, 57, 20, 88, 90, 41}, data::kShardTokens, true);
  model::PoolingHead head({{72, 10, 12}, {.window = 16}}, 1, fake_device());
  train::ClassifierTaskOptions options;
  options.batches.batch_size = 6;
  options.ar = 2;
  options.tar = 1;
  train::ClassifierTask task(encoder_, head, shards, nullptr, options, {1, 0, 1}, comm_);
  optim::Optimizer optimizer(task.groups(), {});
  comm::GradReducer reducer(comm_, task.reduced_parameters());
  EXPECT_THAT(of_a_step(task, optimizer, reducer), ElementsAre(kRead, kRead));
}

INSTANTIATE_TEST_SUITE_P(Step, HostWaits, ::testing::Bool(),
                         [](const auto& kernels) { return kernels.param ? "WithKernels" : "WithOperators"; });

}  // namespace
}  // namespace ulmfit::test
