// Gradients of one rank to sums over all ranks. Owns the memory of all gradients: one flat buffer, cut into buckets in the
// order in which backward fills it, and each trainable parameter's .grad is a view into it.
//
// A step:   zero();  backward (as often as the step has micro-batches; before the last one, expect_backward());  reduce();
// Where communication overlaps computation (NCCL), a bucket is a layer, hooks of autograd see each gradient become complete
// in that last pass, and the sum of a bucket starts as soon as it and all buckets before it are complete, hence in the same
// order on all ranks. On the CPU nothing overlaps: a rank's cores are busy with its products, and MPI moves bytes only
// while it is called. A matrix that a tied head and a lookup share may bring a second leaf for the head, whose part of the
// gradient is complete first: where sums overlap, that part leaves at once, and of the lookup's part, which is complete
// last, only the rows that some rank looked up, if it is told which; elsewhere both write into one gradient. In a fixed
// tree (--reproducible), S micro-batches in all, S / N on each rank:
//           use_fixed_tree(S);  for each of this rank's micro-batches, in order: begin_micro_batch(), backward,
//           end_micro_batch();  then reduce().
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/tree_sum.h"

namespace torch::autograd {
struct Node;
}

namespace ulmfit::comm {

struct ReducedParameter {
  std::string name;
  at::Tensor tensor;       // a leaf that requires a gradient
  std::int64_t layer = 0;  // those of one layer follow each other, and are complete together
  at::Tensor early = {};   // a second leaf over the same memory, for a tied head; may be undefined, and is of all but one
};

class GradReducer {
 public:
  // `parameters` in forward order; all of one dtype, on the communicator's device or the CPU (CommError names one that is
  // not). All train at first. The communicator must live longer.
  GradReducer(Communicator& comm, std::vector<ReducedParameter> parameters);
  ~GradReducer();
  GradReducer(const GradReducer&) = delete;  // hooks point to it
  GradReducer& operator=(const GradReducer&) = delete;

  // Which parameters train from now on, by their place in the constructor's list; alike on all ranks. The others have no
  // gradient (.grad is undefined) and are not communicated. Gradients start at zero. Early leaves follow their parameter.
  void set_trainable(const std::vector<bool>& trainable);

  void zero();  // all gradients

  // Before the backward passes of a step: `rows` [n] int64 on the CPU, each once and the same on all ranks, are those that
  // the passes of any rank look up in the matrix with an early leaf. Without it the lookup's part is summed whole.
  void expect_lookup(const at::Tensor& rows);
  // The next backward pass is the last of this step. A parameter that it does not reach waits for reduce().
  void expect_backward();
  // Collective: every gradient becomes its sum over the ranks, with the same bits on all of them; so does `beside`, if
  // there is one, whose sum is started behind those of all gradients: in the same order on ranks whose backward pass had
  // nothing to do. With a fixed tree it goes through the tree as well.
  void reduce(at::Tensor* beside = nullptr);

  // From now on reduce() sums `micro_batches` of them in one fixed tree, with the same bits on 1, 2, 4, ... ranks. 0: no
  // tree. CommError unless micro-batches and the number of ranks are powers of two, and there is at least one micro-batch a
  // rank.
  void use_fixed_tree(int micro_batches);
  // Around each of this rank's micro-batches in turn (rank r has micro-batches r * S / N and on): begin_micro_batch()
  // zeroes the gradients, end_micro_batch() takes them. Without a tree both do nothing: micro-batches then add up in the
  // gradients themselves.
  void begin_micro_batch() {
    if (micro_batches_of_rank_ > 0) zero();
  }
  void end_micro_batch();
  int micro_batches_of_rank() const { return micro_batches_of_rank_; }

  // Seconds that computation has waited in reduce() for other ranks and for sums.
  double waited_seconds() const { return tree_seconds_ + comm_.waited_seconds(); }

  const std::vector<ReducedParameter>& parameters() const { return parameters_; }
  std::int64_t elements() const { return flat_.numel(); }  // of the flat buffer, gaps for alignment included
  std::size_t buckets() const { return buckets_.size(); }

 private:
  struct Bucket {
    at::Tensor flat;         // view of this bucket's part of flat_
    std::size_t awaited;     // leaves in it
    std::size_t unfinished;  // of these, not yet marked ready
  };

  // A gradient of its own in the buffer: a parameter's, or where sums overlap that of its early leaf.
  struct Leaf {
    at::Tensor tensor;
    std::size_t parameter;
    std::size_t bucket;  // kFrozen if it does not train
    bool ready;          // in this step
  };

  class ReadyHook;
  // A hook that was installed: the node that adds up a leaf's gradient, and the hook's key there.
  struct Hooked {
    std::shared_ptr<torch::autograd::Node> node;
    std::uintptr_t key;
  };

  void install_hooks();
  void mark_ready(std::size_t leaf);  // its gradient is complete; called from autograd's thread on CUDA
  void require_usable(const ReducedParameter& parameter) const;
  bool early_parts_apart() const { return comm_.overlaps() && micro_batches_of_rank_ == 0; }
  void list_leaves();
  void lay_out(const std::vector<bool>& trainable);
  void start_complete_buckets();
  void start_sum(std::size_t bucket);
  void reduce_in_tree();
  void join_early_part();

  Communicator& comm_;
  std::vector<ReducedParameter> parameters_;
  std::vector<Hooked> hooks_;
  at::Tensor flat_;
  std::vector<Bucket> buckets_;
  std::vector<bool> trainable_;    // by parameter
  std::vector<Leaf> leaves_;       // in forward order, an early one behind the others
  std::size_t shared_;             // the parameter with an early leaf; kFrozen: none
  at::Tensor rows_;                // of it that ranks look up in this step; undefined: all
  at::Tensor rows_sum_;            // their gradients
  std::size_t started_ = 0;        // buckets whose sum was started in this step
  bool counting_ = false;          // expect_backward() was called in this step
  int micro_batches_of_rank_ = 0;  // 0: no fixed tree
  LeafSum micro_batch_sum_;
  double tree_seconds_ = 0;
};

}  // namespace ulmfit::comm
