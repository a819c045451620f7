// What is being learned, apart from how: the trainer knows the order of a step, a task its data, model and loss.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "comm/grad_reducer.h"
#include "interop/safetensors.h"
#include "optim/param_groups.h"
#include "reports/classification_metrics.h"
#include "reports/metric_names.h"
#include "reports/multilabel_metrics.h"

namespace ulmfit::train {

// Where in a run a step stands. All ranks hold the same values.
struct Position {
  std::int64_t step = 0;  // global: keys the masks
  std::int64_t epoch = 0;
  std::int64_t index = 0;  // step within the epoch
};

// How a step's global batch is split: into `total` micro-batches, of which this rank computes [first, first + count), one
// after the other. In normal mode every rank has as many; in reproducible mode their number in all is fixed, whatever the
// ranks.
struct MicroBatches {
  std::int64_t total = 1;
  std::int64_t first = 0;
  std::int64_t count = 1;
};

// Sums over the targets that this rank computed in a step; the trainer adds them over ranks.
struct StepSums {
  // Loss without penalties, a scalar float64 on the task's device for each micro-batch, in their order; none: 0.
  std::vector<at::Tensor> nats;
  double targets = 0;  // what the loss is averaged over: tokens, documents
  double items = 0;    // what throughput counts: tokens, documents
};

// The same over all ranks, on the host.
struct StepTotals {
  double nats = 0;
  double targets = 0;
  double items = 0;
};

// Results of an evaluation over all ranks, the same on each.
struct Evaluation {
  double score = 0;  // lower is better: what "best" and early stopping compare
  std::map<std::string, double> values;
  std::optional<reports::Classification> classification;  // of a classifier
  std::optional<reports::Multilabel> multilabel{};        // of one of several labels a text, with the thresholds chosen
};

class Task {
 public:
  virtual ~Task() = default;

  virtual const std::vector<optim::LayerGroup>& groups() const = 0;  // shallow to deep
  // Those whose gradients are sums over ranks, in forward order. The others of groups() have the same gradient everywhere.
  virtual std::vector<comm::ReducedParameter> reduced_parameters() const = 0;
  virtual reports::MetricNames metric_names() const = 0;
  virtual std::int64_t steps_in_epoch(std::int64_t epoch) const = 0;
  virtual std::int64_t tokens_in_epoch() const = 0;  // of all ranks together
  virtual double lr_scale(const Position&) { return 1; }

  // Starts reading data at `position`; before the first step, and again to go on elsewhere.
  virtual void seek(const Position& position) = 0;

  // Forward and backward of this rank's micro-batches of one step. Adds to the parameters' .grad the gradient of
  // (sum over this rank's micro-batches) / (global number of targets), so that a sum over ranks is the gradient of the mean
  // loss. Calls reducer.begin_micro_batch / end_micro_batch around each, and reducer.expect_backward before the last
  // backward pass. Collective for tasks that exchange features.
  virtual StepSums accumulate_gradients(const Position& position, comm::GradReducer& reducer) = 0;

  // Takes back what the latest accumulate_gradients changed besides gradients (LSTM states, batch norm's statistics) unless
  // `admitted` (scalar bool on the task's device) is true: its step is then skipped, on all ranks, and what it left there
  // may be NaN. Waits for no GPU.
  virtual void discard_step_unless(const at::Tensor& admitted) = 0;

  // Loss and metrics on the validation split; nothing is dropped, no state of training is touched. Collective.
  virtual Evaluation validate() = 0;
  // The same of the finished model, with what is to be told of it alone. Collective.
  virtual Evaluation validate_finished() { return validate(); }

  // Weights and buffers by their names in model.safetensors.
  virtual interop::NamedTensors model_tensors() const = 0;
  // What training needs beyond weights and moments (LSTM states of all streams), the same on every rank count. Collective.
  virtual interop::NamedTensors recurrent_state() = 0;
  virtual void load_recurrent_state(const interop::NamedTensors& tensors) = 0;  // collective; throws CheckpointError

  virtual double data_wait_seconds() const = 0;
};

}  // namespace ulmfit::train
