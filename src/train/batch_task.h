// The protocol of a step, for tasks whose global batches are read ahead on a thread and computed micro-batch by
// micro-batch: seek, take the next batch, prepare, one backward pass a micro-batch. A task adds what a batch is (its
// BatchSource) and two hooks.
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/activity.h"
#include "comm/communicator.h"
#include "data/prefetch.h"
#include "model/awd_lstm.h"
#include "model/head.h"
#include "train/task.h"

namespace ulmfit::train {

// What a rank reads of the global batches: a pure function of epoch and index. read() is called by one thread, that of the
// prefetch, so it must not call MPI or tensor operators, except for memory; batches_in_epoch() by any, also meanwhile.
template <class Batch>
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual std::int64_t batches_in_epoch(std::int64_t epoch) const = 0;
  virtual Batch read(std::int64_t epoch, std::int64_t index) = 0;
};

template <class Batch>
class BatchTask : public Task {
 public:
  const std::vector<optim::LayerGroup>& groups() const override { return groups_; }
  interop::NamedTensors model_tensors() const override { return model::tensors_of(encoder_, head_); }
  std::int64_t steps_in_epoch(std::int64_t epoch) const override { return source_->batches_in_epoch(epoch); }
  void seek(const Position& position) override;
  StepSums accumulate_gradients(const Position& position, comm::GradReducer& reducer) override;
  double data_wait_seconds() const override { return prefetch_ ? prefetch_->waited_seconds() : 0; }

 protected:
  // At most `depth` batches wait. Encoder, head and communicator must outlive the task.
  BatchTask(model::AwdLstm& encoder, model::Head& head, MicroBatches micro_batches, comm::Communicator& comm,
            std::unique_ptr<BatchSource<Batch>> source, std::size_t depth)
      : encoder_(encoder),
        micro_batches_(micro_batches),
        comm_(comm),
        head_(head),
        groups_(head.groups(encoder)),
        source_(std::move(source)),
        depth_(depth) {}

  std::vector<comm::ReducedParameter> reduced_of_encoder() const;

  // Before the step's first micro-batch. Collective, if the task's ranks exchange anything but gradients.
  virtual void prepare_step(const Batch& batch, const Position& position, comm::GradReducer& reducer, StepSums& sums) = 0;
  // Forward and backward of this rank's micro-batch `index`, 0 <= index < micro_batches_.count. Not collective.
  virtual void backward_micro_batch(const Batch& batch, const Position& position, std::int64_t index, StepSums& sums) = 0;
  // False: autograd's hooks do not see the backward pass that computes, and sums over ranks start behind it.
  virtual bool shows_backward() const { return true; }

  model::AwdLstm& encoder_;
  const MicroBatches micro_batches_;
  comm::Communicator& comm_;

 private:
  struct Placed {
    std::int64_t epoch = 0;
    std::int64_t index = 0;
    Batch batch;
  };

  model::Head& head_;
  const std::vector<optim::LayerGroup> groups_;
  const std::unique_ptr<BatchSource<Batch>> source_;
  const std::size_t depth_;
  std::unique_ptr<data::Prefetch<Placed>> prefetch_;  // ends before the source that its thread reads
};

template <class Batch>
void BatchTask<Batch>::seek(const Position& position) {
  prefetch_.reset();  // its thread uses the source: it must have ended before the next one starts
  prefetch_ = std::make_unique<data::Prefetch<Placed>>(
      [source = source_.get(), epoch = position.epoch, index = position.index,
       batches = source_->batches_in_epoch(position.epoch)]() mutable -> std::optional<Placed> {
        if (index == batches) {
          index = 0;
          batches = source->batches_in_epoch(++epoch);
        }
        Placed next{epoch, index, source->read(epoch, index)};
        ++index;
        return next;
      },
      depth_);
}

template <class Batch>
std::vector<comm::ReducedParameter> BatchTask<Batch>::reduced_of_encoder() const {
  std::vector<comm::ReducedParameter> reduced;
  std::int64_t layer = 0;
  for (const auto& group : encoder_.groups()) {
    for (const auto& p : group.parameters) reduced.push_back({p.name, p.tensor, layer});
    ++layer;
  }
  return reduced;
}

template <class Batch>
StepSums BatchTask<Batch>::accumulate_gradients(const Position& position, comm::GradReducer& reducer) {
  const std::optional<Placed> next = [&] {
    const Activity activity("data");
    return prefetch_->next();
  }();
  TORCH_CHECK(next && next->epoch == position.epoch && next->index == position.index, "the data path lost its place");
  StepSums sums;
  prepare_step(next->batch, position, reducer, sums);
  for (std::int64_t index = 0; index < micro_batches_.count; ++index) {
    reducer.begin_micro_batch();
    if (index + 1 == micro_batches_.count && shows_backward()) reducer.expect_backward();
    backward_micro_batch(next->batch, position, index, sums);
    reducer.end_micro_batch();
  }
  return sums;
}

}  // namespace ulmfit::train
