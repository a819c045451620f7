// Any set of layer groups may train: each gets the gradient that it has when all train, and the others none.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "comm/solo_communicator.h"
#include "tests/support/corpora.h"
#include "tests/support/temp_dir.h"
#include "train/classifier_task.h"
#include "train/lm_task.h"
#include "train/trainer.h"

namespace ulmfit::train {
namespace {

constexpr std::int64_t kTokens = 123;

class TrainGroups : public ::testing::TestWithParam<std::int64_t> {  // micro-batches
 protected:
  using Gradients = std::map<std::string, at::Tensor>;

  Gradients gradients(Task& task, const std::vector<bool>& trainable) {
    // As before the first phase: groups that were frozen are leaves that want a gradient.
    for (const auto& group : task.groups()) {
      for (const auto& p : group.parameters) at::Tensor(p.tensor).set_requires_grad(true);
    }
    for (const auto& p : task.reduced_parameters()) {
      if (p.early.defined()) at::Tensor(p.early).set_requires_grad(true);
    }
    PlanOptions options;
    options.phases = {{trainable, 1}};
    options.group_factors.assign(trainable.size(), 1);
    const TrainingPlan plan(options, task);
    optim::Optimizer optimizer(task.groups(), {});
    comm::GradReducer reducer(comm_, task.reduced_parameters());
    Trainer trainer(task, plan, optimizer, reducer, comm_, nullptr, nullptr, {});
    trainer.compute_gradients();
    Gradients found;
    for (std::size_t g = 0; g < trainable.size(); ++g) {
      for (const auto& p : task.groups()[g].parameters) {
        if (trainable[g]) found[p.name] = p.tensor.grad().clone();
        EXPECT_EQ(p.tensor.requires_grad(), trainable[g]) << p.name;
      }
    }
    return found;
  }

  void expect_the_same_whatever_trains(Task& task) {
    const std::size_t groups = task.groups().size();
    const Gradients all = gradients(task, std::vector<bool>(groups, true));
    for (std::size_t set = 1; set + 1 < (std::size_t{1} << groups); ++set) {
      std::vector<bool> trainable;
      for (std::size_t g = 0; g < groups; ++g) trainable.push_back((set >> g & 1) != 0);
      for (const auto& [name, gradient] : gradients(task, trainable)) {
        const double scale = all.at(name).abs().max().item<double>();
        EXPECT_GT(scale, 0) << name;
        EXPECT_LE((gradient - all.at(name)).abs().max().item<double>(), 1e-5 * scale) << name << " in set " << set;
      }
    }
  }

  test::TempDir dir_;
  comm::SoloCommunicator comm_;
  model::AwdLstm encoder_{{kTokens, 6, 8, 3}, 5, at::kCPU};
};

TEST_P(TrainGroups, OfALanguageModel) {
  const data::ShardSet shards = test::counting_corpus(dir_.path(), {50, 1, 46, 26});
  model::SoftmaxHead head(encoder_);
  LmTaskOptions options;
  options.streams = {.streams = 6, .bptt = 10, .variable_bptt = false, .shuffle = false, .backward = false, .seed = 1};
  LmTask task(encoder_, head, shards, nullptr, options, {GetParam(), 0, GetParam()}, comm_);
  ASSERT_EQ(task.groups().size(), 4U);
  expect_the_same_whatever_trains(task);
}

TEST_P(TrainGroups, OfAClassifier) {
  const data::ShardSet shards =
      test::counting_corpus(dir_.path(), {5, 1, 30, 12, 7, 7, 19, 3, 26, 2, 11}, 40, /*labelled=*/true);
  model::PoolingHead head({{18, 5, 3}, {8, 16, true, true}}, 5, at::kCPU);
  ClassifierTaskOptions options;
  options.batches.batch_size = 11;
  options.ar = 2;
  options.tar = 1;
  ClassifierTask task(encoder_, head, shards, nullptr, options, {GetParam(), 0, GetParam()}, comm_);
  ASSERT_EQ(task.groups().size(), 5U);
  expect_the_same_whatever_trains(task);
}

INSTANTIATE_TEST_SUITE_P(MicroBatches, TrainGroups, ::testing::Values(1, 3));

}  // namespace
}  // namespace ulmfit::train
