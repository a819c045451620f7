// Sums between GPUs in closed form, and one step on N ranks against the same step on one. Runs on any device: CPU ranks
// prove the tests, GPU ranks prove NCCL.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/grad_reducer.h"
#include "comm/solo_communicator.h"
#include "stages/compute.h"
#include "tests/distributed/ranks.h"
#include "tests/support/corpora.h"
#include "tests/support/model_checks.h"
#include "tests/support/random_tensor.h"
#include "tests/support/temp_dir.h"
#include "train/lm_task.h"

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

// The first step of a language model with all dropouts, its batch in `shards`.
std::vector<at::Tensor> first_gradients(Communicator& comm, const data::ShardSet& corpus, const train::ShardPlan& shards) {
  model::AwdLstm model({400, 24, 40, 3}, 1, comm.device());
  train::LmTaskOptions options;
  options.streams.streams = 8;
  options.streams.bptt = 12;
  train::LmTask task(model, corpus, nullptr, options, shards, comm);
  GradReducer reducer(comm, task.reduced_parameters(), /*bucket_bytes=*/4096);
  task.seek({});
  task.accumulate_gradients({}, reducer);
  reducer.reduce();
  std::vector<at::Tensor> gradients;
  for (const auto& p : reducer.parameters()) gradients.push_back(p.tensor.grad().clone());
  return gradients;
}

TEST(DeviceRanks, AStepOnAllRanksIsTheStepOnOne) {
  stages::use_precision("fp32", ranks().device());
  const test::TempDir dir;
  const data::ShardSet corpus = test::counting_corpus(dir.path(), {90, 40, 120, 60, 15, 75});
  SoloCommunicator alone(ranks().device());
  const auto expected = first_gradients(alone, corpus, {1, 0, 1});
  for (const std::int64_t passes : {1, 2}) {
    const auto found = first_gradients(ranks(), corpus, {ranks().size() * passes, ranks().rank() * passes, passes});
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE(relative_difference(found[i].cpu(), expected[i].cpu()), 1e-5) << "parameter " << i << ", " << passes;
      at::Tensor of_first = found[i].clone();
      ranks().broadcast(of_first, 0);
      EXPECT_TRUE(at::equal(of_first, found[i])) << "bits of parameter " << i << " on rank " << ranks().rank();
    }
  }
}

}  // namespace
}  // namespace ulmfit::comm
