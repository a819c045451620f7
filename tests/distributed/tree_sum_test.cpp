// The promise of --reproducible: eight micro-batches give the same bits on 1, 2, 4 and 8 ranks. Every rank knows all
// shards, so each compares with the tree computed alone.
#include "comm/tree_sum.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/grad_reducer.h"
#include "tests/distributed/ranks.h"
#include "tests/support/random_tensor.h"

namespace ulmfit::comm {
namespace {

using test::random_tensor;
using test::ranks;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr int kShards = 8;

at::Tensor tree(const std::vector<at::Tensor>& leaves) {
  return ((leaves[0] + leaves[1]) + (leaves[2] + leaves[3])) + ((leaves[4] + leaves[5]) + (leaves[6] + leaves[7]));
}

std::vector<at::Tensor> shards_of(std::int64_t size, std::uint64_t step) {
  std::vector<at::Tensor> shards;
  for (std::uint32_t k = 0; k < kShards; ++k) shards.push_back(random_tensor({size}, k, step));
  return shards;
}

TEST(FixedTree, TensorsOfAllSizesHaveTheBitsOfOneRank) {
  Communicator& comm = ranks();
  const int here = kShards / comm.size();
  for (const std::int64_t size : {1L, 2L, 7L, 1000L, 262'144L, 262'145L, 1'000'003L}) {
    const std::vector<at::Tensor> shards = shards_of(size, 1);
    LeafSum local;
    for (int k = 0; k < here; ++k) local.add(shards[static_cast<std::size_t>(comm.rank() * here + k)]);
    at::Tensor sum = local.sum().clone();
    tree_sum(comm, sum);
    EXPECT_TRUE(at::equal(sum, tree(shards))) << size;
  }
}

TEST(FixedTree, GradientsHaveTheBitsOfOneRank) {
  Communicator& comm = ranks();
  const std::vector<std::int64_t> sizes = {7'000'001, 33, 5000};  // past a piece and a bucket, and small
  std::vector<ReducedParameter> parameters;
  for (const std::int64_t size : sizes) parameters.push_back({str("p", size), at::ones({size}).requires_grad_()});
  GradReducer reducer(comm, parameters);
  EXPECT_GT(reducer.buckets(), 1U);
  reducer.use_fixed_tree(kShards);
  ASSERT_EQ(reducer.micro_batches_of_rank() * comm.size(), kShards);
  for (std::uint64_t step = 0; step < 2; ++step) {
    std::vector<std::vector<at::Tensor>> shards;  // by parameter
    for (const std::int64_t size : sizes) shards.push_back(shards_of(size, step));
    for (int k = 0; k < reducer.micro_batches_of_rank(); ++k) {
      reducer.begin_micro_batch();
      const auto shard = static_cast<std::size_t>(comm.rank() * reducer.micro_batches_of_rank() + k);
      for (std::size_t i = 0; i < sizes.size(); ++i) {
        (parameters[i].tensor * shards[i][shard]).sum().backward();
      }
      reducer.end_micro_batch();
    }
    // And what is summed beside them: of each micro-batch a float64, here a float32 and far smaller ones.
    LeafSum of_rank;
    std::vector<at::Tensor> all;
    for (int shard = 0; shard < kShards; ++shard) {
      all.push_back(at::full({1}, 1e9 / (shard + 1) + 1e-7 * shard, at::kDouble));
      if (shard / reducer.micro_batches_of_rank() == comm.rank()) of_rank.add(all.back());
    }
    at::Tensor beside = of_rank.sum().clone();
    reducer.reduce(&beside);
    EXPECT_TRUE(at::equal(beside, tree(all)));
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      EXPECT_TRUE(at::equal(parameters[i].tensor.grad(), tree(shards[i]))) << "step " << step;
    }
  }
}

// Shows that the order matters for these numbers.
TEST(FixedTree, IsNotTheSumInOrder) {
  const std::vector<at::Tensor> shards = shards_of(1000, 1);
  at::Tensor in_order = at::zeros({1000});
  for (const at::Tensor& shard : shards) in_order += shard;
  EXPECT_FALSE(at::equal(in_order, tree(shards)));
}

TEST(FixedTree, FewerShardsThanRanksAreRefused) {
  Communicator& comm = ranks();
  GradReducer reducer(comm, {{"p", at::ones({4}).requires_grad_()}});
  if (comm.size() == 1) return;
  EXPECT_THAT([&] { reducer.use_fixed_tree(comm.size() / 2); },
              ThrowsMessage<CommError>(HasSubstr(str(comm.size() / 2, " micro-batches on ", comm.size(), " ranks"))));
}

}  // namespace
}  // namespace ulmfit::comm
