#include "comm/tree_sum.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace ulmfit::comm {
namespace {

// Small enough that a piece, once received, is still in the cache when it is added.
constexpr std::int64_t kPieceBytes = 1 << 20;

struct Split {
  std::int64_t begin, middle, end;  // the lower rank of a pair keeps [begin, middle), the higher [middle, end)
};

at::Tensor slice(const at::Tensor& flat, std::int64_t begin, std::int64_t end) {
  return flat.narrow(0, begin, end - begin);
}

// Sums one piece; `incoming` has room for half of it.
void sum_piece(Communicator& comm, const at::Tensor& piece, const at::Tensor& incoming) {
  std::vector<Split> splits;
  std::int64_t begin = 0;
  std::int64_t end = piece.size(0);
  for (int distance = 1; distance < comm.size(); distance *= 2) {
    const int peer = comm.rank() ^ distance;
    const bool lower = comm.rank() < peer;
    const Split split{begin, begin + (end - begin) / 2, end};
    splits.push_back(split);
    (lower ? end : begin) = split.middle;
    const at::Tensor given = lower ? slice(piece, split.middle, split.end) : slice(piece, split.begin, split.middle);
    at::Tensor kept = slice(piece, begin, end);
    at::Tensor theirs = slice(incoming, 0, end - begin);
    comm.exchange(given, theirs, peer);
    // a + b and b + a have the same bits (IEEE 754), so which side is the left operand does not show.
    kept.add_(theirs);
  }
  for (int distance = comm.size() / 2; distance >= 1; distance /= 2) {
    const int peer = comm.rank() ^ distance;
    const Split split = splits.back();
    splits.pop_back();
    const at::Tensor low = slice(piece, split.begin, split.middle);
    const at::Tensor high = slice(piece, split.middle, split.end);
    const bool lower = comm.rank() < peer;
    at::Tensor missing = lower ? high : low;
    comm.exchange(lower ? low : high, missing, peer);
  }
}

}  // namespace

void LeafSum::add(const at::Tensor& leaf) {
  const at::NoGradGuard no_grad;
  const auto need_level = [&](std::size_t level) {
    if (levels_.size() <= level) levels_.push_back(at::empty_like(leaf));
  };
  if ((leaves_ & 1) == 0) {
    need_level(0);
    levels_[0].copy_(leaf);
  } else {
    std::size_t level = 0;
    levels_[0].add_(leaf);
    // Level l now holds 2^(l+1) leaves: it is carried upwards until a level is free.
    for (; (leaves_ >> (level + 1)) & 1; ++level) levels_[level + 1].add_(levels_[level]);
    need_level(level + 1);
    std::swap(levels_[level + 1], levels_[level]);
  }
  ++leaves_;
}

const at::Tensor& LeafSum::sum() const {
  if (!is_power_of_two(leaves_)) throw std::logic_error(str("LeafSum: ", leaves_, " leaves are not a full binary tree"));
  std::size_t level = 0;
  while ((std::int64_t{1} << level) < leaves_) ++level;
  return levels_[level];
}

void tree_sum(Communicator& comm, at::Tensor& tensor) {
  if (!is_power_of_two(comm.size())) {
    throw CommError(str(describe(comm, "tree sum", tensor), ": expected 1, 2, 4, 8, ... ranks"));
  }
  if (!tensor.is_contiguous()) throw CommError(str(describe(comm, "tree sum", tensor), ": expected a contiguous tensor"));
  if (comm.size() == 1 || tensor.numel() == 0) return;
  const at::NoGradGuard no_grad;
  const at::Tensor flat = tensor.detach().view({-1});
  const std::int64_t n = flat.size(0);
  const std::int64_t step = std::min<std::int64_t>(n, tensor.is_cpu() ? kPieceBytes / flat.element_size() : n);
  const at::Tensor incoming = at::empty({step / 2 + 1}, flat.options());
  for (std::int64_t begin = 0; begin < n; begin += step) {
    sum_piece(comm, slice(flat, begin, std::min(n, begin + step)), incoming);
  }
}

}  // namespace ulmfit::comm
