// Sums between GPUs in closed form, and one step on N ranks against the same step on one. Runs on any device: CPU ranks
// prove the tests, GPU ranks prove NCCL.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "comm/grad_reducer.h"
#include "comm/solo_communicator.h"
#include "stages/compute.h"
#include "tests/distributed/ranks.h"
#include "tests/support/corpora.h"
#include "tests/support/model_checks.h"
#include "tests/support/random_tensor.h"
#include "tests/support/temp_dir.h"
#include "train/classifier_task.h"
#include "train/lm_task.h"
#include "train/trainer.h"

namespace ulmfit::comm {
namespace {

using test::ranks;
using test::relative_difference;

at::Tensor filled(std::int64_t size, double value, at::ScalarType type) {
  return at::full({size}, value, at::TensorOptions(type).device(ranks().device()));
}

// An element, a cache line and one past it, several of NCCL's chunks.
constexpr std::int64_t kSizes[] = {1, 16, 17, 1'000'003};

TEST(DeviceRanks, AllReduceIsAClosedForm) {
  const std::int64_t n = ranks().size();
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kLong}) {
    for (const std::int64_t size : kSizes) {
      at::Tensor sum = filled(size, ranks().rank() + 1, type);
      at::Tensor least = sum.clone();
      at::Tensor most = sum.clone();
      ranks().all_reduce(sum, ReduceOp::kSum);
      ranks().all_reduce(least, ReduceOp::kMin);
      ranks().all_reduce(most, ReduceOp::kMax);
      EXPECT_TRUE(at::equal(sum, filled(size, static_cast<double>(n * (n + 1)) / 2, type))) << type << " " << size;
      EXPECT_TRUE(at::equal(least, filled(size, 1, type))) << type << " " << size;
      EXPECT_TRUE(at::equal(most, filled(size, static_cast<double>(n), type))) << type << " " << size;
    }
  }
}

TEST(DeviceRanks, BroadcastGatherAndExchange) {
  Communicator& comm = ranks();
  const int last = comm.size() - 1;
  at::Tensor sent = filled(1000, comm.rank(), at::kFloat);
  comm.broadcast(sent, last);
  EXPECT_TRUE(at::equal(sent, filled(1000, last, at::kFloat)));
  const at::Tensor all = comm.all_gather(filled(5, comm.rank(), at::kFloat));
  for (int r = 0; r < comm.size(); ++r) EXPECT_TRUE(at::equal(all[r], filled(5, r, at::kFloat))) << r;
  const int peer = comm.rank() ^ 1;
  if (comm.size() % 2 != 0) return;
  at::Tensor theirs = filled(33, -1, at::kFloat);
  comm.exchange(filled(33, comm.rank(), at::kFloat), theirs, peer);
  EXPECT_TRUE(at::equal(theirs, filled(33, peer, at::kFloat)));
}

// The ranks, with sums that start during backward: on CPUs each is then done at once.
class Overlapping : public Communicator {
 public:
  int rank() const override { return ranks().rank(); }
  int size() const override { return ranks().size(); }
  int local_size() const override { return ranks().local_size(); }
  at::Device device() const override { return ranks().device(); }
  void all_reduce(at::Tensor& tensor, ReduceOp op) override { ranks().all_reduce(tensor, op); }
  void broadcast(at::Tensor& tensor, int root) override { ranks().broadcast(tensor, root); }
  at::Tensor all_gather(const at::Tensor& mine) override { return ranks().all_gather(mine); }
  void exchange(const at::Tensor& mine, at::Tensor& theirs, int peer) override { ranks().exchange(mine, theirs, peer); }
  void barrier() override { ranks().barrier(); }
  bool overlaps() const override { return true; }
  void start_sum(at::Tensor& tensor) override {
    ranks().start_sum(tensor);
    elements += tensor.numel();
  }
  void finish_sums() override { ranks().finish_sums(); }
  [[noreturn]] void abort(ExitCode code, std::string_view why) noexcept override {
    ranks().abort(code, why);
    std::abort();
  }
  std::int64_t elements = 0;
};

// The first step of a language model with all dropouts, its batch in `shards`.
std::vector<at::Tensor> first_gradients(Communicator& comm, const data::ShardSet& corpus,
                                        const train::MicroBatches& shards) {
  model::AwdLstm model({400, 24, 40, 3}, 1, comm.device());
  model::SoftmaxHead head(model);
  train::LmTaskOptions options;
  options.streams.streams = 8;
  options.streams.bptt = 12;
  options.streams.variable_bptt = false;
  train::LmTask task(model, head, corpus, nullptr, options, shards, comm);
  GradReducer reducer(comm, task.reduced_parameters());
  task.seek({});
  task.accumulate_gradients({}, reducer);
  reducer.reduce();
  std::vector<at::Tensor> gradients;
  for (const auto& p : reducer.parameters()) gradients.push_back(p.tensor.grad().clone());
  return gradients;
}

class DeviceStep : public testing::Test {
 protected:
  void SetUp() override {
    stages::use_precision(stages::Arithmetic::kFp32, ranks().device());
    SoloCommunicator alone(ranks().device());
    expected_ = first_gradients(alone, corpus_, {1, 0, 1});
  }
  test::TempDir dir_;
  data::ShardSet corpus_ = test::counting_corpus(dir_.path(), {90, 40, 120, 60, 15, 75});
  std::vector<at::Tensor> expected_;  // one rank's
};

TEST_F(DeviceStep, OnAllRanksIsTheStepOnOne) {
  for (const std::int64_t passes : {1, 2}) {
    const auto found = first_gradients(ranks(), corpus_, {ranks().size() * passes, ranks().rank() * passes, passes});
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE(relative_difference(found[i].cpu(), expected_[i].cpu()), 1e-5) << "parameter " << i << ", " << passes;
      at::Tensor of_first = found[i].clone();
      ranks().broadcast(of_first, 0);
      EXPECT_TRUE(at::equal(of_first, found[i])) << "bits of parameter " << i << " on rank " << ranks().rank();
    }
  }
}

// Six steps of a trainer: figures of the ranks, clipping and updates too. A batch of two of the classifier's documents
// leaves ranks without any.
std::vector<at::Tensor> trained(Communicator& comm, const data::ShardSet& corpus, bool classifier) {
  model::AwdLstm encoder({400, 24, 40, 3}, 1, comm.device());
  model::SoftmaxHead softmax(encoder);
  model::PoolingHead pooling({{72, 10, 6}, {.window = 16}}, 1, comm.device());
  train::LmTaskOptions lm;
  lm.streams.streams = 8;
  lm.streams.bptt = 12;
  train::ClassifierTaskOptions documents;
  documents.batches.batch_size = 4;
  const train::MicroBatches parts{comm.size(), comm.rank(), 1};
  std::unique_ptr<train::Task> task;
  if (classifier) {
    task = std::make_unique<train::ClassifierTask>(encoder, pooling, corpus, nullptr, documents, parts, comm);
  } else {
    task = std::make_unique<train::LmTask>(encoder, softmax, corpus, nullptr, lm, parts, comm);
  }
  train::PlanOptions plan_options;
  plan_options.phases = optim::parse_unfreeze_plan("full", task->groups().size(), 3);
  plan_options.group_factors.assign(task->groups().size(), 1);
  plan_options.lr = 1e-3;
  plan_options.max_steps = 6;
  const train::TrainingPlan plan(plan_options, *task);
  optim::Optimizer optimizer(task->groups(), {.kind = optim::OptimizerKind::kSgd});
  GradReducer reducer(comm, task->reduced_parameters());
  train::TrainerOptions options;
  options.clip = 0.05;
  options.validates = false;
  train::Trainer trainer(*task, plan, optimizer, reducer, comm, nullptr, nullptr, options);
  trainer.run();
  std::vector<at::Tensor> weights;
  for (const auto& [name, tensor] : task->model_tensors()) weights.push_back(tensor.detach().cpu());
  return weights;
}

TEST_F(DeviceStep, OfATrainerOnAllRanksIsThatOnOne) {
  const test::TempDir dir;
  const data::ShardSet documents = test::counting_corpus(dir.path(), {90, 40, 120, 60, 15, 75}, data::kShardTokens, true);
  SoloCommunicator alone(ranks().device());
  for (const bool classifier : {false, true}) {
    const auto expected = trained(alone, documents, classifier);
    const auto found = trained(ranks(), documents, classifier);
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE(relative_difference(found[i], expected[i]), 6 * 1e-5)  // of a step, six times
          << "tensor " << i << (classifier ? " of the classifier" : "");
    }
  }
}

// The head's part of the tied matrix leaves first and whole, of the lookup's part the rows of all ranks' words.
TEST_F(DeviceStep, WithSumsThatStartDuringBackwardIsTheSame) {
  for (const std::int64_t passes : {1, 2}) {
    Overlapping comm;
    const auto found = first_gradients(comm, corpus_, {comm.size() * passes, comm.rank() * passes, passes});
    std::int64_t parameters = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE(relative_difference(found[i].cpu(), expected_[i].cpu()), 1e-5) << "parameter " << i << ", " << passes;
      parameters += found[i].numel();
    }
    const std::int64_t words = 8 * 12;  // of the batch, each another one
    EXPECT_LE(std::abs(comm.elements - (parameters + words * 24)), 16 * 20) << "but for gaps between parameters";
  }
}

}  // namespace
}  // namespace ulmfit::comm
