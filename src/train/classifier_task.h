// Classifier training over whole documents. The pooled features of the global batch are gathered and the head computed
// alike on every rank, so that batch-norm statistics are global and the head's gradient is the same everywhere; only the
// encoder's gradient is summed over ranks.
#pragma once

#include <string>
#include <vector>

#include "data/document_batches.h"
#include "data/label_sets.h"
#include "data/shard_reader.h"
#include "model/awd_lstm.h"
#include "model/document_pooling.h"
#include "model/pooling_head.h"
#include "train/batch_task.h"
#include "train/task.h"

namespace ulmfit::train {

struct ClassifierTaskOptions {
  data::DocumentBatchOptions batches;
  model::DropoutRates dropout;  // `output` is the first dropout of the head
  double head_dropout = 0.1;    // of the head's other blocks
  double ar = 0;   // activation regularisation, on the undropped output of the top layer as in fastai's text learner,
  double tar = 0;  // and temporal: means over the tokens that gradients reach, of all documents of the global batch
  // Of the loss that is trained; validation has neither. The target is this share evenly of all classes and the rest of the
  // given one (Szegedy et al. 2016). A text counts as the weight of its class; none: 1 each. As torch has them together:
  // the mean is over the weights of a batch, and a smoothed class counts as its own.
  double label_smoothing = 0;
  std::vector<double> class_weights;
  // What the language model's loss on the texts counts beside the classifier's: its mean over the tokens that gradients
  // reach and that have a next one, of all documents of the global batch (model::NextTokenLoss). Not in the reported loss.
  double aux_lm_weight = 0;
  at::Tensor decoder_bias = {};  // [V], of the language model; needed for that
  std::uint64_t seed = 1;
  std::vector<std::string> labels;  // names of the classes
  // Where texts have several labels, or none: what the labels of the documents stand for. The loss is then that of
  // train/multilabel.h, which has neither weights nor smoothing.
  data::LabelSets label_sets;
};

// Logits of every document of a split, [documents, classes] float32 on the CPU, the same on all ranks. Collective. Each
// document is computed once, by one rank.
at::Tensor predict_logits(const model::AwdLstm& encoder, model::PoolingHead& head, const data::ShardSet& shards,
                          const data::DocumentBatchOptions& batches, const MicroBatches& micro_batches,
                          comm::Communicator& comm);

// The probabilities of the classes in place of the logits, of which one is a document's.
at::Tensor predict_probabilities(const model::AwdLstm& encoder, model::PoolingHead& head, const data::ShardSet& shards,
                                 const data::DocumentBatchOptions& batches, const MicroBatches& micro_batches,
                                 comm::Communicator& comm);

// The most probable class of each document beside the given one. `probabilities` as above; throws DataError for a document
// whose label is none of `labels`.
reports::Classification tabulate(const at::Tensor& probabilities, const data::ShardSet& shards,
                                 const std::vector<std::string>& labels, const std::string& split);

// This rank's micro-batches of a global batch.
struct DocumentMicroBatches {
  std::int64_t global_documents = 0;
  std::int64_t global_tokens = 0;  // that gradients reach
  std::vector<std::vector<data::Document>> micro_batches;
};

class ClassifierTask : public BatchTask<DocumentMicroBatches> {
 public:
  // All but the options must outlive the task.
  ClassifierTask(model::AwdLstm& encoder, model::PoolingHead& head, const data::ShardSet& train,
                 const data::ShardSet* valid, ClassifierTaskOptions options, MicroBatches micro_batches,
                 comm::Communicator& comm);

  std::vector<comm::ReducedParameter> reduced_parameters() const override { return reduced_of_encoder(); }
  reports::MetricNames metric_names() const override {
    return options_.label_sets.empty() ? reports::kClassifierMetrics : reports::kMultilabelMetrics;
  }
  std::int64_t tokens_in_epoch() const override { return train_.token_count(); }
  void discard_step_unless(const at::Tensor& admitted) override;
  Evaluation validate() override;
  interop::NamedTensors recurrent_state() override { return {}; }
  void load_recurrent_state(const interop::NamedTensors&) override {}

 private:
  // What a pass adds to the loss beside the head's.
  struct BesideHead {
    model::ActivationSums sums;
    model::NextTokenLoss next_tokens;
  };

  // What prepare_step leaves for the micro-batches.
  struct Step {
    bool encoder_trains = false;
    bool keeps_graph = false;
    std::vector<model::LstmWeights> weights;  // of the pass under way, once for all micro-batches
    std::vector<at::Tensor> features;         // by micro-batch, [documents, 3 E]; undefined for an empty one
    BesideHead beside;                        // of the only micro-batch, if its graph is kept
    at::Tensor gradient;                      // of the whole batch's features, by slot
  };

  void prepare_step(const DocumentMicroBatches& batch, const Position& position, comm::GradReducer& reducer,
                    StepSums& sums) override;
  void backward_micro_batch(const DocumentMicroBatches& batch, const Position& position, std::int64_t index,
                            StepSums& sums) override;
  bool penalized() const { return options_.ar > 0 || options_.tar > 0; }
  at::Tensor pooled(const std::vector<data::Document>& documents, const DocumentMicroBatches& batch,
                    const Position& position, BesideHead& beside) const;
  at::Tensor penalty(const model::ActivationSums& sums, const DocumentMicroBatches& batch) const;
  at::Tensor head_gradient(const at::Tensor& features, const at::Tensor& labels, const Position& position,
                           at::Tensor& nats);

  model::PoolingHead& head_;
  ClassifierTaskOptions options_;
  at::Tensor class_weights_;  // [classes]; undefined: 1 each
  at::Tensor class_table_;    // of the label sets; undefined: a text has one label
  const data::ShardSet& train_;
  const data::ShardSet* valid_;
  Step step_;                                  // under way
  std::vector<at::Tensor> statistics_before_;  // the head's buffers before the latest step
};

}  // namespace ulmfit::train
