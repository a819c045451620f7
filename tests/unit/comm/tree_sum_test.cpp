#include "comm/tree_sum.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "comm/solo_communicator.h"
#include "tests/support/random_tensor.h"

namespace ulmfit::comm {
namespace {

using test::random_tensor;

std::vector<at::Tensor> random_leaves(int count, std::int64_t size) {
  std::vector<at::Tensor> leaves;
  for (int i = 0; i < count; ++i) leaves.push_back(random_tensor({size}, static_cast<std::uint32_t>(i)));
  return leaves;
}

// The definition, written as one would say it.
at::Tensor tree(const std::vector<at::Tensor>& leaves, std::size_t begin, std::size_t count) {
  if (count == 1) return leaves[begin];
  return tree(leaves, begin, count / 2) + tree(leaves, begin + count / 2, count / 2);
}

TEST(LeafSum, IsTheTreeBitForBit) {
  for (const int count : {1, 2, 4, 8, 16, 32}) {
    const std::vector<at::Tensor> leaves = random_leaves(count, 1001);
    LeafSum sum;
    for (const at::Tensor& leaf : leaves) sum.add(leaf);
    EXPECT_TRUE(at::equal(sum.sum(), tree(leaves, 0, leaves.size()))) << count << " leaves";
  }
}

// Otherwise the test above would prove nothing.
TEST(LeafSum, DiffersFromTheSumInOrder) {
  const std::vector<at::Tensor> leaves = random_leaves(8, 1001);
  at::Tensor in_order = at::zeros({1001});
  LeafSum sum;
  for (const at::Tensor& leaf : leaves) {
    in_order += leaf;
    sum.add(leaf);
  }
  EXPECT_FALSE(at::equal(sum.sum(), in_order));
  EXPECT_TRUE(at::allclose(sum.sum(), in_order, 1e-3, 1e-3));
}

TEST(LeafSum, StartsAnewAndLeavesItsInputsAlone) {
  const std::vector<at::Tensor> leaves = random_leaves(8, 64);
  std::vector<at::Tensor> before;
  for (const at::Tensor& leaf : leaves) before.push_back(leaf.clone());
  LeafSum sum;
  for (int round = 0; round < 3; ++round) {
    for (const at::Tensor& leaf : leaves) sum.add(leaf);
    EXPECT_TRUE(at::equal(sum.sum(), tree(leaves, 0, 8)));
    sum.restart();
  }
  for (std::size_t i = 0; i < leaves.size(); ++i) EXPECT_TRUE(at::equal(leaves[i], before[i]));
}

TEST(LeafSum, HasNoSumOfAnUnfinishedTree) {
  LeafSum sum;
  EXPECT_THROW(sum.sum(), std::logic_error);
  for (int i = 0; i < 3; ++i) sum.add(at::ones({1}));
  EXPECT_THROW(sum.sum(), std::logic_error);
}

TEST(TreeSum, OfOneRankIsItsValue) {
  SoloCommunicator comm;
  at::Tensor tensor = random_tensor({17, 3}, 5);
  const at::Tensor before = tensor.clone();
  tree_sum(comm, tensor);
  EXPECT_TRUE(at::equal(tensor, before));
}

}  // namespace
}  // namespace ulmfit::comm
