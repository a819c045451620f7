#include "comm/grad_reducer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "base/activity.h"
#include "base/stopwatch.h"

namespace ulmfit::comm {
namespace {

constexpr std::size_t kFrozen = std::numeric_limits<std::size_t>::max();
// Each gradient starts on a cache line of its own.
constexpr std::int64_t kAlignmentBytes = 64;
// Of buckets where nothing overlaps: fewer sums wait less for each other.
constexpr std::int64_t kBucketBytes = 25 << 20;

std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

// Runs after the node that adds up a leaf's gradient, when all of its parts have come; also when the operations that use
// the leaf write into its gradient themselves and hand nothing to autograd (tied head, embedding).
class GradReducer::ReadyHook : public torch::autograd::FunctionPostHook {
 public:
  ReadyHook(GradReducer& reducer, std::size_t leaf) : reducer_(reducer), leaf_(leaf) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list&) override {
    reducer_.mark_ready(leaf_);
    return outputs;
  }

 private:
  GradReducer& reducer_;
  std::size_t leaf_;
};

GradReducer::GradReducer(Communicator& comm, std::vector<ReducedParameter> parameters)
    : comm_(comm), parameters_(std::move(parameters)) {
  if (parameters_.empty()) throw CommError("gradient exchange: expected parameters");
  for (const ReducedParameter& parameter : parameters_) require_usable(parameter);
  const auto shared = std::find_if(parameters_.begin(), parameters_.end(), [](const auto& p) { return p.early.defined(); });
  shared_ = shared == parameters_.end() ? kFrozen : static_cast<std::size_t>(shared - parameters_.begin());
  list_leaves();
  lay_out(std::vector<bool>(parameters_.size(), true));
  if (comm_.overlaps()) install_hooks();
}

GradReducer::~GradReducer() {
  for (const Hooked& hooked : hooks_) hooked.node->del_post_hook(hooked.key);
}

void GradReducer::install_hooks() {
  for (std::size_t i = 0; i < leaves_.size(); ++i) {
    // Held here: the leaf itself keeps it only as long as a graph does.
    auto node = torch::autograd::impl::grad_accumulator(leaves_[i].tensor);
    const std::uintptr_t key = node->add_post_hook(std::make_unique<ReadyHook>(*this, i));
    hooks_.push_back({std::move(node), key});
  }
}

void GradReducer::require_usable(const ReducedParameter& parameter) const {
  const at::Tensor& first = parameters_.front().tensor;
  const at::Tensor& tensor = parameter.tensor;
  if (!tensor.defined() || !tensor.is_leaf() || !tensor.requires_grad() || tensor.scalar_type() != first.scalar_type() ||
      tensor.device() != first.device()) {
    throw CommError(ulmfit::str(describe(comm_, "gradient exchange", tensor), ", parameter ", parameter.name,
                                ": expected a leaf that requires a gradient, ", first.scalar_type(), " on ", first.device(),
                                " as ", parameters_.front().name));
  }
  const at::Tensor& early = parameter.early;
  if (early.defined() && (!early.is_leaf() || !early.requires_grad() || early.const_data_ptr() != tensor.const_data_ptr() ||
                          early.sizes() != tensor.sizes())) {
    throw CommError(str("gradient exchange, parameter ", parameter.name,
                        ": expected a second leaf that requires a gradient and shares the parameter's memory"));
  }
}

void GradReducer::list_leaves() {
  leaves_.clear();
  for (std::size_t i = 0; i < parameters_.size(); ++i) leaves_.push_back({parameters_[i].tensor, i, kFrozen, false});
  if (shared_ != kFrozen && early_parts_apart()) leaves_.push_back({parameters_[shared_].early, shared_, kFrozen, false});
}

void GradReducer::lay_out(const std::vector<bool>& trainable) {
  trainable_ = trainable;
  const at::Tensor& first = parameters_.front().tensor;
  const std::int64_t unit = kAlignmentBytes / first.element_size();
  // Backward comes to the last parameter first.
  struct Place {
    std::int64_t begin;
    const Leaf* leaf;
  };
  std::vector<Place> places;
  std::vector<std::int64_t> bucket_begins;
  std::int64_t end = 0;
  for (auto leaf = leaves_.rbegin(); leaf != leaves_.rend(); ++leaf) {
    leaf->tensor.mutable_grad() = at::Tensor();
    leaf->bucket = kFrozen;
    if (!trainable[leaf->parameter]) continue;
    const std::int64_t size = round_up(leaf->tensor.numel(), unit);
    // What may be summed by rows, or is to leave at once, is alone.
    const bool alone = leaf->parameter == shared_ && early_parts_apart();
    const Leaf* before = places.empty() ? nullptr : places.back().leaf;
    const bool after_alone = before != nullptr && before->parameter == shared_ && early_parts_apart();
    const auto ends_a_bucket = [&] {
      if (!comm_.overlaps()) return (end + size - bucket_begins.back()) * first.element_size() > kBucketBytes;
      return parameters_[before->parameter].layer != parameters_[leaf->parameter].layer;
    };
    if (before == nullptr || alone || after_alone || ends_a_bucket()) bucket_begins.push_back(end);
    leaf->bucket = bucket_begins.size() - 1;
    places.push_back({end, &*leaf});
    end += size;
  }
  flat_ = at::zeros({end}, first.options().requires_grad(false));
  buckets_.clear();
  for (std::size_t b = 0; b < bucket_begins.size(); ++b) {
    const std::int64_t bucket_end = b + 1 < bucket_begins.size() ? bucket_begins[b + 1] : end;
    buckets_.push_back({flat_.narrow(0, bucket_begins[b], bucket_end - bucket_begins[b]), 0, 0});
  }
  for (const Place& place : places) {
    const at::Tensor& leaf = place.leaf->tensor;
    leaf.mutable_grad() = flat_.narrow(0, place.begin, leaf.numel()).view(leaf.sizes());
    ++buckets_[place.leaf->bucket].awaited;
  }
  rows_.reset();
  if (shared_ == kFrozen) return;
  const ReducedParameter& shared = parameters_[shared_];
  shared.early.set_requires_grad(trainable[shared_]);
  if (!early_parts_apart()) shared.early.mutable_grad() = shared.tensor.grad();
}

void GradReducer::set_trainable(const std::vector<bool>& trainable) {
  if (trainable.size() != parameters_.size()) {
    throw std::logic_error(str("GradReducer: ", trainable.size(), " flags for ", parameters_.size(), " parameters"));
  }
  lay_out(trainable);
  micro_batch_sum_ = LeafSum();
  counting_ = false;
}

void GradReducer::zero() {
  const Activity activity("zero gradients");
  flat_.zero_();
}

void GradReducer::expect_lookup(const at::Tensor& rows) {
  rows_.reset();
  if (shared_ == kFrozen || !trainable_[shared_] || !early_parts_apart()) return;
  const at::Tensor& matrix = parameters_[shared_].tensor;
  rows_ = rows;
  if (matrix.is_cpu()) return;
  // By pinned memory: a plain copy would wait for all that the GPU was given before.
  rows_ = rows.pin_memory().to(rows.options().device(matrix.device()), /*non_blocking=*/true);
}

void GradReducer::expect_backward() {
  counting_ = comm_.overlaps() && micro_batches_of_rank_ == 0;
  started_ = 0;
  for (Leaf& leaf : leaves_) leaf.ready = false;
  for (Bucket& bucket : buckets_) bucket.unfinished = bucket.awaited;
}

void GradReducer::mark_ready(std::size_t i) {
  if (!counting_) return;
  Leaf& leaf = leaves_.at(i);
  if (leaf.bucket == kFrozen || leaf.ready) return;
  leaf.ready = true;
  --buckets_[leaf.bucket].unfinished;
  start_complete_buckets();
}

void GradReducer::start_complete_buckets() {
  for (; started_ < buckets_.size() && buckets_[started_].unfinished == 0; ++started_) start_sum(started_);
}

void GradReducer::start_sum(std::size_t bucket) {
  if (rows_.defined() && bucket == leaves_[shared_].bucket) {
    rows_sum_ = parameters_[shared_].tensor.grad().index_select(0, rows_);
    comm_.start_sum(rows_sum_);
  } else {
    comm_.start_sum(buckets_[bucket].flat);
  }
}

void GradReducer::reduce(at::Tensor* beside) {
  const Activity activity("all-reduce");
  if (micro_batches_of_rank_ > 0) {
    reduce_in_tree();
  } else {
    if (!counting_) started_ = 0;
    for (; started_ < buckets_.size(); ++started_) start_sum(started_);
    counting_ = false;
  }
  if (beside != nullptr && micro_batches_of_rank_ > 0) {
    tree_sum(comm_, *beside);
  } else if (beside != nullptr) {
    comm_.start_sum(*beside);
  }
  comm_.finish_sums();
  join_early_part();
}

void GradReducer::join_early_part() {
  if (shared_ == kFrozen || !trainable_[shared_] || !early_parts_apart()) return;
  at::Tensor gradient = parameters_[shared_].tensor.grad();
  if (rows_.defined()) gradient.index_copy_(0, rows_, rows_sum_);
  gradient.add_(parameters_[shared_].early.grad());
  rows_.reset();
}

void GradReducer::use_fixed_tree(int micro_batches) {
  if (micro_batches != 0 &&
      (!is_power_of_two(micro_batches) || !is_power_of_two(comm_.size()) || micro_batches < comm_.size())) {
    throw CommError(str("--reproducible: ", micro_batches, " micro-batches on ", comm_.size(),
                        " ranks; expected two powers of two, and at least one micro-batch a rank"));
  }
  micro_batches_of_rank_ = micro_batches / comm_.size();
  micro_batch_sum_ = LeafSum();
  list_leaves();
  lay_out(trainable_);
}

void GradReducer::end_micro_batch() {
  if (micro_batches_of_rank_ == 0) return;
  if (micro_batch_sum_.leaves() >= micro_batches_of_rank_) {
    throw std::logic_error(
        str("GradReducer: more than ", micro_batches_of_rank_, " micro-batches on this rank in one step"));
  }
  micro_batch_sum_.add(flat_);
}

void GradReducer::reduce_in_tree() {
  if (micro_batch_sum_.leaves() != micro_batches_of_rank_) {
    throw std::logic_error(
        str("GradReducer: ", micro_batch_sum_.leaves(), " micro-batches ended, expected ", micro_batches_of_rank_));
  }
  const ScopedTimer timer(tree_seconds_);
  flat_.copy_(micro_batch_sum_.sum());
  micro_batch_sum_.restart();
  for (Bucket& bucket : buckets_) tree_sum(comm_, bucket.flat);
}

}  // namespace ulmfit::comm
