// Sums in one fixed binary tree over S leaves, S a power of two: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)) for S = 8, the
// left operand always the one with the lower numbers. However the leaves are spread over ranks (S / N consecutive ones on
// each of N ranks, N a power of two up to S), the bits of the result are the same.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "comm/communicator.h"

namespace ulmfit::comm {

constexpr bool is_power_of_two(std::int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

// The part of the tree within a rank: leaves come one by one, 0, 1, 2, ..., and partial sums are kept as in a binary
// counter, one buffer for each level.
class LeafSum {
 public:
  // Adds the next leaf; all have the shape, dtype and device of the first.
  void add(const at::Tensor& leaf);
  std::int64_t leaves() const { return leaves_; }
  // The sum, once leaves() is a power of two (std::logic_error otherwise). Valid until the next add() or restart().
  const at::Tensor& sum() const;
  void restart() { leaves_ = 0; }  // buffers are kept

 private:
  std::vector<at::Tensor> levels_;  // levels_[l] holds a sum of 2^l leaves where bit l of leaves_ is set
  std::int64_t leaves_ = 0;
};

// The part across ranks, collective, in place: a contiguous float tensor of any shape, one leaf a rank. Recursive halving,
// then doubling: ranks one apart swap halves and add, then two apart quarters, ...; each rank sends and receives 2 (N-1) /
// N of the bytes. CommError unless the number of ranks is a power of two.
void tree_sum(Communicator& comm, at::Tensor& tensor);

}  // namespace ulmfit::comm
