// Language-model training on global streams with truncated back-propagation: state is carried from window to window.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "data/lm_streams.h"
#include "data/shard_reader.h"
#include "model/awd_lstm.h"
#include "model/softmax_head.h"
#include "model/window_graphs.h"
#include "train/batch_task.h"
#include "train/task.h"

namespace ulmfit::train {

struct LmTaskOptions {
  data::LmStreamOptions streams;
  model::DropoutRates dropout;
  double ar = 2;                  // activation regularisation: ar * mean of squares of the dropped top output
  double tar = 1;                 // temporal: tar * mean of squares of top[t + 1] - top[t]
  bool scale_lr_by_bptt = false;  // learning rate times T / bptt (AWD-LSTM)
  bool cuda_graph = false;        // steps are recorded and started whole (window_graphs.h)
  std::uint64_t seed = 1;
};

// Nats and targets of a corpus under a model, over all ranks.
struct LmScore {
  double nats = 0;
  double targets = 0;
};

// What validate_finished() tells besides, of a head whose loss() is not that of the softmax over all words: loss and
// perplexity of that one, which the finished stage has.
inline constexpr const char* kFullSoftmaxLoss = "full_softmax_loss";
inline constexpr const char* kFullSoftmaxPerplexity = "full_softmax_perplexity";

// Reads the whole split in order as `streams` streams (fewer if the text is short), nothing dropped out, every token but
// the first a target once. Collective.
LmScore evaluate_lm(const model::AwdLstm& encoder, const model::SoftmaxHead& head, const data::ShardSet& shards,
                    data::LmStreamOptions options, const MicroBatches& micro_batches, comm::Communicator& comm);

// A rank's part of a step, as the prefetch thread hands it over.
struct LmWindow {
  std::int64_t T = 0;
  bool epoch_start = false;         // state is zeroed before it
  at::Tensor ids;                   // [2, T, B] int32, x and y: on the CPU, pinned where the model is elsewhere
  std::vector<std::int64_t> words;  // those of x in all streams, once each, in order; empty: not told
};

class LmTask : public BatchTask<LmWindow> {
 public:
  // All but the options must outlive the task. Throws ConfigError when micro_batches.total does not divide the streams, and
  // where a CUDA graph is asked for and cannot be had.
  LmTask(model::AwdLstm& encoder, model::SoftmaxHead& head, const data::ShardSet& train, const data::ShardSet* valid,
         LmTaskOptions options, MicroBatches micro_batches, comm::Communicator& comm);

  std::vector<comm::ReducedParameter> reduced_parameters() const override;
  reports::MetricNames metric_names() const override {
    return head_.estimates() ? reports::kEstimatedLanguageModelMetrics : reports::kLanguageModelMetrics;
  }
  std::int64_t tokens_in_epoch() const override;
  double lr_scale(const Position& position) override;
  void discard_step_unless(const at::Tensor& admitted) override;
  Evaluation validate() override;
  Evaluation validate_finished() override;
  interop::NamedTensors recurrent_state() override;
  void load_recurrent_state(const interop::NamedTensors& tensors) override;

 private:
  LmTask(model::AwdLstm& encoder, model::SoftmaxHead& head, std::shared_ptr<data::LmStreams> streams,
         const data::ShardSet* valid, LmTaskOptions options, MicroBatches micro_batches, comm::Communicator& comm);

  // What a micro-batch's forward and backward pass leave besides gradients.
  struct Pass {
    at::Tensor nats;  // scalar float64
    model::LstmState next;
  };

  bool shows_backward() const override { return graphs_ == nullptr; }
  void prepare_step(const LmWindow& window, const Position& position, comm::GradReducer& reducer, StepSums& sums) override;
  void backward_micro_batch(const LmWindow& window, const Position& position, std::int64_t index, StepSums& sums) override;
  model::MaskKey mask_key(std::int64_t step, std::int64_t index) const;
  Pass pass(const at::Tensor& ids, const model::LstmState& from, std::vector<model::LstmWeights> weights,
            const model::MaskKey& key) const;
  void check_graph() const;
  std::vector<const void*> places() const;
  void recorded_pass(const LmWindow& window, std::int64_t step);

  model::SoftmaxHead& head_;
  LmTaskOptions options_;
  const data::ShardSet* valid_;
  std::shared_ptr<data::LmStreams> streams_;     // read by the source alone; any thread may ask for windows
  std::int64_t lengths_of_ = -1;                 // the epoch of
  std::vector<data::Window> lengths_;            // for lr_scale
  at::Tensor ids_;                               // of the step's window, [2, T, B] int64
  std::vector<model::LstmWeights> weights_;      // of the step: masked, and for CPUs packed, once for all micro-batches
  std::int64_t micro_batch_streams_;             // streams of a micro-batch
  std::vector<model::LstmState> states_;         // by local micro-batch
  std::vector<model::LstmState> states_before_;  // the latest step
  std::unique_ptr<model::WindowGraphs> graphs_;  // null: steps are not recorded
  // Where they are, the states and these keep their place on the device.
  std::map<std::int64_t, at::Tensor> windows_;  // [2, T, B] int32, by T
  at::Tensor nats_;                             // scalar float64
  std::vector<at::Tensor> used_;                // parameters, the head's second leaf among them
};

}  // namespace ulmfit::train
