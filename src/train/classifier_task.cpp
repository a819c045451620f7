#include "train/classifier_task.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "base/error.h"
#include "model/to_device.h"
#include "train/multilabel.h"

namespace ulmfit::train {
namespace {

std::vector<const std::vector<std::int64_t>*> token_lists(const std::vector<data::Document>& documents) {
  std::vector<const std::vector<std::int64_t>*> lists;
  for (const auto& document : documents) lists.push_back(&document.tokens);
  return lists;
}

// Documents of micro-batch k of a global batch of n: slots k, k + total, ...
std::int64_t micro_batch_documents(std::int64_t n, std::int64_t k, std::int64_t total) {
  return (n - k + total - 1) / total;
}

// Rows of all micro-batches, [micro-batch of rank 0, ..., micro-batch of the last rank] padded to equal heights, in slot
// order. `mine` holds this rank's micro-batches one after the other. Collective.
at::Tensor gather_by_slot(const std::vector<at::Tensor>& mine, std::int64_t n, std::int64_t width,
                          const MicroBatches& micro_batches, comm::Communicator& comm, at::TensorOptions options) {
  const std::int64_t height = micro_batch_documents(n, 0, micro_batches.total);
  at::Tensor padded = at::zeros({micro_batches.count, height, width}, options);
  for (std::size_t k = 0; k < mine.size(); ++k) {
    if (mine[k].defined()) padded[static_cast<std::int64_t>(k)].narrow(0, 0, mine[k].size(0)).copy_(mine[k]);
  }
  const at::Tensor all = comm.all_gather(padded).reshape({micro_batches.total, height, width});
  // Slot s is row s / total of micro-batch s % total.
  return all.transpose(0, 1).reshape({height * micro_batches.total, width}).narrow(0, 0, n).contiguous();
}

class DocumentSource : public BatchSource<DocumentMicroBatches> {
 public:
  DocumentSource(const data::ShardSet& train, const data::DocumentBatchOptions& options, const model::Bpt3cOptions& bpt3c,
                 const MicroBatches& micro_batches)
      : train_(train), batches_(train, options), bpt3c_(bpt3c), micro_batches_(micro_batches) {}

  std::int64_t batches_in_epoch(std::int64_t /*epoch*/) const override { return batches_.batches_per_epoch(); }
  DocumentMicroBatches read(std::int64_t epoch, std::int64_t index) override {
    const auto& documents = batches_.documents(epoch, index);
    DocumentMicroBatches batch;
    batch.global_documents = static_cast<std::int64_t>(documents.size());
    for (const std::int64_t d : documents) {
      batch.global_tokens += model::reached_tokens(train_.document_start(d + 1) - train_.document_start(d), bpt3c_);
    }
    for (std::int64_t k = 0; k < micro_batches_.count; ++k) {
      batch.micro_batches.push_back(
          batches_.batch(epoch, index, static_cast<int>(micro_batches_.first + k), static_cast<int>(micro_batches_.total)));
    }
    return batch;
  }

 private:
  const data::ShardSet& train_;
  data::DocumentBatches batches_;
  model::Bpt3cOptions bpt3c_;
  MicroBatches micro_batches_;
};

constexpr std::size_t kBatchesAhead = 4;

using Answer = at::Tensor (*)(const at::Tensor& logits);

// What `answer` makes of the logits of each batch, by document.
at::Tensor predict(const model::AwdLstm& encoder, model::PoolingHead& head, const data::ShardSet& shards,
                   const data::DocumentBatchOptions& batch_options, const MicroBatches& micro_batches,
                   comm::Communicator& comm, Answer answer) {
  at::NoGradGuard no_grad;
  data::DocumentBatchOptions options = batch_options;
  options.shuffle = false;
  data::DocumentBatches batches(shards, options);
  const auto order = batches.order(0);
  const auto weights = encoder.batch_weights(0, nullptr);
  const std::int64_t width = 3 * encoder.shape().embedding;
  at::Tensor answers = at::empty({shards.document_count(), head.classes()}, at::kFloat);
  for (std::size_t b = 0; b < order.size(); ++b) {
    std::vector<at::Tensor> mine(static_cast<std::size_t>(micro_batches.count));
    for (std::int64_t k = 0; k < micro_batches.count; ++k) {
      const auto documents = batches.batch(0, static_cast<std::int64_t>(b), static_cast<int>(micro_batches.first + k),
                                           static_cast<int>(micro_batches.total));
      if (documents.empty()) continue;
      mine[static_cast<std::size_t>(k)] = head.features(encoder, token_lists(documents), weights, {}, nullptr);
    }
    const auto n = static_cast<std::int64_t>(order[b].size());
    const at::Tensor features = gather_by_slot(mine, n, width, micro_batches, comm, at::TensorOptions(encoder.device()));
    answers.index_copy_(0, at::tensor(order[b], at::kLong), answer(head.forward(features, {}, nullptr)).cpu());
  }
  return answers;
}

}  // namespace

at::Tensor predict_logits(const model::AwdLstm& encoder, model::PoolingHead& head, const data::ShardSet& shards,
                          const data::DocumentBatchOptions& batches, const MicroBatches& micro_batches,
                          comm::Communicator& comm) {
  const Answer as_they_are = [](const at::Tensor& logits) { return logits; };
  return predict(encoder, head, shards, batches, micro_batches, comm, as_they_are);
}

at::Tensor predict_probabilities(const model::AwdLstm& encoder, model::PoolingHead& head, const data::ShardSet& shards,
                                 const data::DocumentBatchOptions& batches, const MicroBatches& micro_batches,
                                 comm::Communicator& comm) {
  const Answer softmax = [](const at::Tensor& logits) { return at::softmax(logits, 1); };
  return predict(encoder, head, shards, batches, micro_batches, comm, softmax);
}

ClassifierTask::ClassifierTask(model::AwdLstm& encoder, model::PoolingHead& head, const data::ShardSet& train,
                               const data::ShardSet* valid, ClassifierTaskOptions options, MicroBatches micro_batches,
                               comm::Communicator& comm)
    : BatchTask(encoder, head, micro_batches, comm,
                std::make_unique<DocumentSource>(train, options.batches, head.options().bpt3c, micro_batches),
                kBatchesAhead),
      head_(head),
      options_(std::move(options)),
      train_(train),
      valid_(valid) {
  if (!options_.label_sets.empty()) {
    class_table_ = class_table(options_.label_sets, head.classes()).to(encoder.device());
  }
  if (options_.class_weights.empty()) return;
  class_weights_ = at::tensor(options_.class_weights, at::kDouble).to(encoder.device(), at::kFloat);
}

at::Tensor ClassifierTask::pooled(const std::vector<data::Document>& documents, const DocumentMicroBatches& batch,
                                  const Position& position, BesideHead& beside) const {
  model::MaskKey key{options_.seed, static_cast<std::uint64_t>(position.step), {}};
  for (const auto& document : documents) key.streams.push_back(static_cast<std::uint32_t>(document.slot));
  const std::int64_t predicted = batch.global_tokens - batch.global_documents;
  const bool predicts = options_.aux_lm_weight > 0 && predicted > 0;
  if (predicts) beside.next_tokens = {options_.decoder_bias, options_.aux_lm_weight / static_cast<double>(predicted), {}};
  return head_.features(encoder_, token_lists(documents), step_.weights, options_.dropout, &key,
                        penalized() ? &beside.sums : nullptr, predicts ? &beside.next_tokens : nullptr);
}

// What a micro-batch adds to the loss of the global batch, beside the head's.
at::Tensor ClassifierTask::penalty(const model::ActivationSums& sums, const DocumentMicroBatches& batch) const {
  const auto width = static_cast<double>(encoder_.shape().embedding);
  at::Tensor loss = sums.squares * (options_.ar / (static_cast<double>(batch.global_tokens) * width));
  const std::int64_t changes = batch.global_tokens - batch.global_documents;
  if (changes > 0) loss = loss + sums.changes * (options_.tar / (static_cast<double>(changes) * width));
  return loss;
}

// Runs the head on the features of the whole batch, back-propagates the mean loss into the head's parameters, and returns
// the gradient of the features.
at::Tensor ClassifierTask::head_gradient(const at::Tensor& features, const at::Tensor& labels, const Position& position,
                                         at::Tensor& nats) {
  const std::int64_t n = features.size(0);
  const at::Tensor leaf = features.detach().requires_grad_(true);
  model::MaskKey key{options_.seed, static_cast<std::uint64_t>(position.step), {}};
  for (std::int64_t s = 0; s < n; ++s) key.streams.push_back(static_cast<std::uint32_t>(s));
  std::vector<double> drops(head_.blocks(), options_.head_dropout);
  drops.front() = options_.dropout.output;
  constexpr std::int64_t kNoneIgnored = -100;
  const at::Tensor logits = head_.forward(leaf, drops, &key);
  const at::Tensor loss = class_table_.defined()
                              ? multilabel_loss(logits, labels, class_table_)
                              : at::cross_entropy_loss(logits, labels, class_weights_, at::Reduction::Mean, kNoneIgnored,
                                                       options_.label_smoothing);
  nats = loss.detach().to(at::kDouble) * static_cast<double>(n);
  torch::autograd::backward({loss}, {});
  return leaf.grad();
}

// The features of the whole batch on every rank, and what the loss says of them.
void ClassifierTask::prepare_step(const DocumentMicroBatches& batch, const Position& position, comm::GradReducer& reducer,
                                  StepSums& sums) {
  const std::vector<optim::NamedParameter> encoder = encoder_.parameters();
  step_ = {};
  step_.encoder_trains =
      std::any_of(encoder.begin(), encoder.end(), [](const auto& p) { return p.tensor.requires_grad(); });
  // With one micro-batch the graph of the features is kept; with several a first pass without graph collects them and each
  // micro-batch is computed again, with the same masks, when its gradient is known. Memory is then that of one micro-batch.
  // In a fixed tree the second way serves every number of ranks: the kernels of inference and of training differ in their
  // last bits.
  step_.keeps_graph = step_.encoder_trains && micro_batches_.count == 1 && reducer.micro_batches_of_rank() == 0;
  const model::MaskKey key{options_.seed, static_cast<std::uint64_t>(position.step), {}};
  const auto make_weights = [&](bool with_graph) {
    const at::AutoGradMode mode(with_graph);
    step_.weights = encoder_.batch_weights(options_.dropout.weight, &key);
  };
  make_weights(step_.keeps_graph);
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> label_columns;
  for (const auto& documents : batch.micro_batches) {
    at::Tensor features;
    if (!documents.empty()) {
      const at::AutoGradMode mode(step_.keeps_graph);
      features = pooled(documents, batch, position, step_.beside);
    }
    values.push_back(features.defined() ? features.detach() : at::Tensor());
    step_.features.push_back(std::move(features));
    std::vector<std::int64_t> column;
    for (const auto& document : documents) column.push_back(document.label);
    label_columns.push_back(at::tensor(column, at::kLong).unsqueeze(1));
  }
  step_.weights.clear();
  const std::int64_t n = batch.global_documents;
  const auto options = at::TensorOptions(encoder_.device());
  const at::Tensor all = gather_by_slot(values, n, 3 * encoder_.shape().embedding, micro_batches_, comm_, options);
  // By the hosts: on GPUs each gathering of their tensors is waited for.
  const at::Tensor labels =
      model::to_device(gather_by_slot(label_columns, n, 1, micro_batches_, comm_, at::kLong).squeeze(1), encoder_.device());
  statistics_before_.clear();
  for (const auto& [name, buffer] : head_.buffers()) statistics_before_.push_back(buffer.clone());
  at::Tensor nats;
  step_.gradient = head_gradient(all, labels, position, nats);
  // The head saw the whole batch on every rank; one reports it. Equal parts would not add up to whole documents.
  if (comm_.rank() == 0) sums = {{nats}, static_cast<double>(n), static_cast<double>(n)};
  if (step_.encoder_trains && !step_.keeps_graph) make_weights(true);
}

void ClassifierTask::backward_micro_batch(const DocumentMicroBatches& batch, const Position& position, std::int64_t index,
                                          StepSums& /*sums*/) {
  const auto& documents = batch.micro_batches[static_cast<std::size_t>(index)];
  at::Tensor features = std::move(step_.features[static_cast<std::size_t>(index)]);
  BesideHead beside = std::exchange(step_.beside, {});
  if (!step_.encoder_trains || documents.empty()) return;
  std::vector<std::int64_t> slots;
  for (const auto& document : documents) slots.push_back(document.slot);
  const at::Tensor gradient =
      step_.gradient.index_select(0, model::to_device(at::tensor(slots, at::kLong), encoder_.device()));
  if (!step_.keeps_graph) {
    beside = {};
    features = pooled(documents, batch, position, beside);
    if (index + 1 == micro_batches_.count) step_.weights.clear();
  }
  if (!features.requires_grad()) return;
  torch::autograd::variable_list roots{features};
  torch::autograd::variable_list gradients{gradient};
  if (penalized()) {
    roots.push_back(penalty(beside.sums, batch));
    gradients.push_back(at::ones_like(roots.back()));
  }
  if (beside.next_tokens.loss.defined()) {
    roots.push_back(beside.next_tokens.loss);
    gradients.push_back(at::ones_like(roots.back()));
  }
  torch::autograd::backward(roots, gradients);
}

void ClassifierTask::discard_step_unless(const at::Tensor& admitted) {
  at::NoGradGuard no_grad;
  const auto buffers = head_.buffers();
  for (std::size_t i = 0; i < statistics_before_.size(); ++i) {
    at::Tensor buffer = buffers[i].second;
    buffer.copy_(at::where(admitted, buffer, statistics_before_[i]));
  }
}

reports::Classification tabulate(const at::Tensor& probabilities, const data::ShardSet& shards,
                                 const std::vector<std::string>& labels, const std::string& split) {
  const std::size_t classes = labels.size();
  reports::Classification result{labels, reports::ConfusionMatrix(classes, std::vector<std::int64_t>(classes, 0)), split};
  const at::Tensor best = probabilities.argmax(1);
  const auto* predicted = best.const_data_ptr<std::int64_t>();
  for (std::int64_t d = 0; d < shards.document_count(); ++d) {
    const std::int32_t given = shards.label(d);
    if (given < 0 || given >= static_cast<std::int32_t>(classes))
      throw DataError(
          ulmfit::str("document ", d, " of ", split, " has label ", given, "; there are ", classes, " classes"));
    ++result.confusion[static_cast<std::size_t>(given)][static_cast<std::size_t>(predicted[d])];
  }
  return result;
}

Evaluation ClassifierTask::validate() {
  Evaluation result;
  if (valid_ == nullptr) return result;
  if (!options_.label_sets.empty()) {
    return evaluate_multilabel(predict_logits(encoder_, head_, *valid_, options_.batches, micro_batches_, comm_), *valid_,
                               options_.label_sets, options_.labels, "valid");
  }
  const at::Tensor probabilities = predict_probabilities(encoder_, head_, *valid_, options_.batches, micro_batches_, comm_);
  result.classification = tabulate(probabilities, *valid_, options_.labels, "valid");
  double nats = 0;
  const auto* p = probabilities.const_data_ptr<float>();
  const std::int64_t classes = probabilities.size(1);
  for (std::int64_t d = 0; d < probabilities.size(0); ++d, p += classes) {
    const std::int32_t label = valid_->label(d);
    nats -= std::log(std::max(static_cast<double>(p[label]), 1e-30));
  }
  const auto n = static_cast<double>(probabilities.size(0));
  const double error = reports::classification_metrics(result.classification->confusion).error, loss = nats / n;
  // By the number of wrong answers, and among equals by the loss, which alone would choose too early: it rises with what an
  // overconfident classifier gets wrong while that grows less.
  result.score = error + loss / (1 + loss) / n;
  result.values = {{"loss", loss}, {"error", error}, {"documents", n}};
  return result;
}

}  // namespace ulmfit::train
