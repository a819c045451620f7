// Language-model training on global streams with truncated back-propagation: state is carried from window to window.
#pragma once

#include <memory>
#include <optional>

#include "data/lm_streams.h"
#include "data/prefetch.h"
#include "data/shard_reader.h"
#include "model/awd_lstm.h"
#include "train/task.h"

namespace ulmfit::train {

struct LmTaskOptions {
  data::LmStreamOptions streams;
  model::DropoutRates dropout;
  double ar = 2;                  // activation regularisation: ar * mean of squares of the dropped top output
  double tar = 1;                 // temporal: tar * mean of squares of top[t + 1] - top[t]
  bool scale_lr_by_bptt = false;  // learning rate times T / bptt (AWD-LSTM)
  std::uint64_t seed = 1;
};

// Nats and targets of a corpus under a model, over all ranks.
struct LmScore {
  double nats = 0;
  double targets = 0;
};

// Reads the whole split in order as `streams` streams (fewer if the text is short), nothing dropped out, every token but
// the first a target once. Collective.
LmScore evaluate_lm(const model::AwdLstm& model, const data::ShardSet& shards, data::LmStreamOptions options,
                    const ShardPlan& plan, comm::Communicator& comm);

class LmTask : public Task {
 public:
  // `train` and `valid` must outlive the task. Throws ConfigError when plan.total does not divide the streams.
  LmTask(model::AwdLstm& model, const data::ShardSet& train, const data::ShardSet* valid, LmTaskOptions options,
         ShardPlan plan, comm::Communicator& comm);
  ~LmTask() override;

  const std::vector<optim::LayerGroup>& groups() const override { return groups_; }
  std::vector<comm::ReducedParameter> reduced_parameters() const override;
  std::string rate_unit() const override { return "tokens_per_s"; }
  std::int64_t steps_in_epoch(std::int64_t epoch) const override;
  std::int64_t tokens_in_epoch() const override;
  double lr_scale(const Position& position) const override;
  void seek(const Position& position) override;
  StepSums accumulate_gradients(const Position& position, comm::GradReducer& reducer) override;
  void discard_step() override { states_ = states_before_; }
  Evaluation validate() override;
  interop::NamedTensors model_tensors() const override;
  interop::NamedTensors carried_tensors() override;
  void load_carried(const interop::NamedTensors& tensors) override;
  double data_wait_seconds() const override;

 private:
  void backward_shard(const data::LmBatch& batch, const Position& position, std::int64_t shard, StepSums& sums);

  model::AwdLstm& model_;
  LmTaskOptions options_;
  ShardPlan plan_;
  comm::Communicator& comm_;
  const data::ShardSet* valid_;
  data::LmStreams streams_;  // read by the prefetch thread once it runs
  data::LmStreams lengths_;  // windows() for the trainer's thread
  std::vector<optim::LayerGroup> groups_;
  std::int64_t columns_;  // streams of this rank
  std::int64_t shard_columns_;
  std::vector<model::LstmState> states_;         // by local shard
  std::vector<model::LstmState> states_before_;  // the latest step
  std::unique_ptr<data::Prefetch<data::LmBatch>> prefetch_;
};

}  // namespace ulmfit::train
