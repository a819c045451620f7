#include "train/classifier_task.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace ulmfit::train {
namespace {

std::vector<const std::vector<std::int64_t>*> token_lists(const std::vector<data::Document>& documents) {
  std::vector<const std::vector<std::int64_t>*> lists;
  for (const auto& document : documents) lists.push_back(&document.tokens);
  return lists;
}

// Documents of shard k of a global batch of n: slots k, k + total, ...
std::int64_t shard_documents(std::int64_t n, std::int64_t k, std::int64_t total) { return (n - k + total - 1) / total; }

// Rows of all shards, [shard of rank 0, ..., shard of the last rank] padded to equal heights, in slot order. `mine` holds
// this rank's shards one after the other. Collective.
at::Tensor gather_by_slot(const std::vector<at::Tensor>& mine, std::int64_t n, std::int64_t width, const ShardPlan& plan,
                          comm::Communicator& comm, at::TensorOptions options) {
  const std::int64_t height = shard_documents(n, 0, plan.total);
  at::Tensor padded = at::zeros({plan.count, height, width}, options);
  for (std::size_t k = 0; k < mine.size(); ++k) {
    if (mine[k].defined()) padded[static_cast<std::int64_t>(k)].narrow(0, 0, mine[k].size(0)).copy_(mine[k]);
  }
  const at::Tensor all = comm.all_gather(padded).reshape({plan.total, height, width});
  // Slot s is row s / total of shard s % total.
  return all.transpose(0, 1).reshape({height * plan.total, width}).narrow(0, 0, n).contiguous();
}

}  // namespace

at::Tensor predict_probabilities(const model::AwdLstm& encoder, model::PoolingHead& head, const data::ShardSet& shards,
                                 const data::DocumentBatchOptions& batch_options, const model::Bpt3cOptions& bpt3c,
                                 const ShardPlan& plan, comm::Communicator& comm) {
  at::NoGradGuard no_grad;
  data::DocumentBatchOptions options = batch_options;
  options.shuffle = false;
  data::DocumentBatches batches(shards, options);
  const auto order = batches.order(0);
  const auto weights = encoder.batch_weights(0, nullptr);
  const std::int64_t width = 3 * encoder.shape().embedding;
  at::Tensor probabilities = at::empty({shards.document_count(), head.widths().back()}, at::kFloat);
  for (std::size_t b = 0; b < order.size(); ++b) {
    std::vector<at::Tensor> mine(static_cast<std::size_t>(plan.count));
    for (std::int64_t k = 0; k < plan.count; ++k) {
      const auto documents =
          batches.batch(0, static_cast<std::int64_t>(b), static_cast<int>(plan.first + k), static_cast<int>(plan.total));
      if (documents.empty()) continue;
      mine[static_cast<std::size_t>(k)] =
          model::pool_documents(encoder, token_lists(documents), weights, bpt3c, {}, nullptr);
    }
    const auto n = static_cast<std::int64_t>(order[b].size());
    const at::Tensor features = gather_by_slot(mine, n, width, plan, comm, at::TensorOptions(encoder.device()));
    const at::Tensor rows = at::softmax(head.forward(features, {}, nullptr), 1).cpu();
    probabilities.index_copy_(0, at::tensor(order[b], at::kLong), rows);
  }
  return probabilities;
}

ClassifierTask::ClassifierTask(model::AwdLstm& encoder, model::PoolingHead& head, const data::ShardSet& train,
                               const data::ShardSet* valid, ClassifierTaskOptions options, ShardPlan plan,
                               comm::Communicator& comm)
    : encoder_(encoder),
      head_(head),
      options_(std::move(options)),
      plan_(plan),
      comm_(comm),
      train_(train),
      valid_(valid),
      batches_(train, options_.batches),
      steps_per_epoch_(batches_.batches_per_epoch()),
      groups_(encoder.encoder_groups()) {
  groups_.push_back(head.group());
}

ClassifierTask::~ClassifierTask() = default;

std::vector<comm::ReducedParameter> ClassifierTask::reduced_parameters() const {
  std::vector<comm::ReducedParameter> reduced;
  for (const auto& group : encoder_.encoder_groups()) {
    for (const auto& p : group.parameters) reduced.push_back({p.name, p.tensor});
  }
  return reduced;
}

std::int64_t ClassifierTask::steps_in_epoch(std::int64_t) const { return steps_per_epoch_; }

void ClassifierTask::seek(const Position& position) {
  prefetch_.reset();  // its thread reads the same shards: it must have ended before the next one starts
  prefetch_ = std::make_unique<data::Prefetch<ShardBatch>>(
      [this, epoch = position.epoch, index = position.index,
       order = batches_.order(position.epoch)]() mutable -> std::optional<ShardBatch> {
        if (index == steps_per_epoch_) {
          index = 0;
          order = batches_.order(++epoch);
        }
        const auto& documents = order[static_cast<std::size_t>(index)];
        ShardBatch batch{{0, epoch, index}, static_cast<std::int64_t>(documents.size()), 0, {}};
        for (const std::int64_t d : documents) {
          batch.global_tokens +=
              model::reached_tokens(train_.document_start(d + 1) - train_.document_start(d), options_.bpt3c);
        }
        for (std::int64_t k = 0; k < plan_.count; ++k) {
          batch.shards.push_back(
              batches_.batch(epoch, index, static_cast<int>(plan_.first + k), static_cast<int>(plan_.total)));
        }
        ++index;
        return batch;
      },
      4);
}

at::Tensor ClassifierTask::pooled(const std::vector<data::Document>& documents, const Position& position,
                                  model::ActivationSums* sums) const {
  model::MaskKey key{options_.seed, static_cast<std::uint64_t>(position.step), {}};
  for (const auto& document : documents) key.streams.push_back(static_cast<std::uint32_t>(document.slot));
  return model::pool_documents(encoder_, token_lists(documents), encoder_.batch_weights(options_.dropout.weight, &key),
                               options_.bpt3c, options_.dropout, &key, sums);
}

// What a shard adds to the loss of the global batch, beside the head's.
at::Tensor ClassifierTask::penalty(const model::ActivationSums& sums, const ShardBatch& batch) const {
  const auto width = static_cast<double>(encoder_.shape().embedding);
  at::Tensor loss = sums.squares * (options_.ar / (static_cast<double>(batch.global_tokens) * width));
  const std::int64_t changes = batch.global_tokens - batch.global_documents;
  if (changes > 0) loss = loss + sums.changes * (options_.tar / (static_cast<double>(changes) * width));
  return loss;
}

// Runs the head on the features of the whole batch, back-propagates the mean loss into the head's parameters, and returns
// the gradient of the features.
at::Tensor ClassifierTask::head_gradient(const at::Tensor& features, const at::Tensor& labels, const Position& position,
                                         double* nats) {
  const std::int64_t n = features.size(0);
  const at::Tensor leaf = features.detach().requires_grad_(true);
  model::MaskKey key{options_.seed, static_cast<std::uint64_t>(position.step), {}};
  for (std::int64_t s = 0; s < n; ++s) key.streams.push_back(static_cast<std::uint32_t>(s));
  std::vector<double> drops(head_.widths().size() - 1, options_.head_dropout);
  drops.front() = options_.dropout.output;
  const at::Tensor loss = at::cross_entropy_loss(head_.forward(leaf, drops, &key), labels);
  *nats = loss.item<double>() * static_cast<double>(n);
  torch::autograd::backward({loss}, {});
  return leaf.grad();
}

StepSums ClassifierTask::accumulate_gradients(const Position& position, comm::GradReducer& reducer) {
  const std::optional<ShardBatch> batch = [&] {
    RECORD_USER_SCOPE("ulmfit: data");
    return prefetch_->next();
  }();
  TORCH_CHECK(batch && batch->position.epoch == position.epoch && batch->position.index == position.index,
              "the data path lost its place");
  const std::int64_t n = batch->global_documents;
  const bool encoder_trains = std::any_of(groups_.begin(), groups_.end() - 1, [](const auto& group) {
    return group.parameters.front().tensor.requires_grad();
  });
  // With one shard the graph of the features is kept; with several a first pass without graph collects them and each shard
  // is computed again, with the same masks, when its gradient is known. Memory is then that of one shard. In a fixed tree
  // the second way serves every number of ranks: the kernels of inference and of training differ in their last bits.
  const bool keep_graph = encoder_trains && plan_.count == 1 && reducer.shards_of_rank() == 0;
  const bool penalized = options_.ar > 0 || options_.tar > 0;
  model::ActivationSums sums;
  std::vector<at::Tensor> features(batch->shards.size());
  std::vector<std::int64_t> labels(static_cast<std::size_t>(n), 0);
  for (std::size_t k = 0; k < features.size(); ++k) {
    const at::AutoGradMode mode(keep_graph);
    if (!batch->shards[k].empty()) features[k] = pooled(batch->shards[k], position, penalized ? &sums : nullptr);
  }
  const auto options = at::TensorOptions(encoder_.device());
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> label_columns;
  for (std::size_t k = 0; k < features.size(); ++k) {
    values.push_back(features[k].defined() ? features[k].detach() : at::Tensor());
    std::vector<std::int64_t> column;
    for (const auto& document : batch->shards[k]) column.push_back(document.label);
    label_columns.push_back(at::tensor(column, at::kLong).unsqueeze(1).to(encoder_.device()));
  }
  const std::int64_t width = 3 * encoder_.shape().embedding;
  const at::Tensor all = gather_by_slot(values, n, width, plan_, comm_, options);
  const at::Tensor all_labels = gather_by_slot(label_columns, n, 1, plan_, comm_, options.dtype(at::kLong)).squeeze(1);
  statistics_before_.clear();
  for (const auto& [name, buffer] : head_.buffers()) statistics_before_.push_back(buffer.clone());
  double nats = 0;
  const at::Tensor gradient = head_gradient(all, all_labels, position, &nats);

  for (std::size_t k = 0; k < features.size(); ++k) {
    reducer.begin_shard();
    if (k + 1 == features.size()) reducer.expect_backward();
    if (encoder_trains && !batch->shards[k].empty()) {
      std::vector<std::int64_t> slots;
      for (const auto& document : batch->shards[k]) slots.push_back(document.slot);
      const at::Tensor mine = gradient.index_select(0, at::tensor(slots, at::kLong).to(encoder_.device()));
      if (!keep_graph) {
        sums = {};
        features[k] = pooled(batch->shards[k], position, penalized ? &sums : nullptr);
      }
      if (features[k].requires_grad()) {
        torch::autograd::variable_list roots{features[k]};
        torch::autograd::variable_list gradients{mine};
        if (penalized) {
          roots.push_back(penalty(sums, *batch));
          gradients.push_back(at::ones_like(roots.back()));
        }
        torch::autograd::backward(roots, gradients);
      }
      features[k].reset();
      sums = {};
    }
    reducer.end_shard();
  }
  // The head saw the whole batch on every rank; one reports it. Equal parts would not add up to whole documents.
  if (comm_.rank() != 0) return {};
  return {nats, static_cast<double>(n), static_cast<double>(n)};
}

void ClassifierTask::discard_step() {
  at::NoGradGuard no_grad;
  const auto buffers = head_.buffers();
  for (std::size_t i = 0; i < statistics_before_.size(); ++i) {
    at::Tensor buffer = buffers[i].second;
    buffer.copy_(statistics_before_[i]);
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
  data::DocumentBatchOptions options = options_.batches;
  const at::Tensor probabilities = predict_probabilities(encoder_, head_, *valid_, options, options_.bpt3c, plan_, comm_);
  result.classification = tabulate(probabilities, *valid_, options_.labels, "valid");
  double nats = 0;
  const auto* p = probabilities.const_data_ptr<float>();
  const std::int64_t classes = probabilities.size(1);
  for (std::int64_t d = 0; d < probabilities.size(0); ++d, p += classes) {
    const std::int32_t label = valid_->label(d);
    nats -= std::log(std::max(static_cast<double>(p[label]), 1e-30));
  }
  const auto n = static_cast<double>(probabilities.size(0));
  result.score = nats / n;
  result.values = {{"loss", nats / n},
                   {"error", reports::classification_figures(result.classification->confusion).error},
                   {"documents", n}};
  return result;
}

interop::NamedTensors ClassifierTask::model_tensors() const {
  interop::NamedTensors tensors;
  for (const auto& group : groups_) {
    for (const auto& p : group.parameters) tensors.emplace_back(p.name, p.tensor.detach());
  }
  for (const auto& [name, tensor] : head_.buffers()) tensors.emplace_back(name, tensor);
  return tensors;
}

double ClassifierTask::data_wait_seconds() const { return prefetch_ ? prefetch_->waited_seconds() : 0; }

}  // namespace ulmfit::train
