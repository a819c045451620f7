#include "train/lm_task.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "base/error.h"
#include "model/dropout.h"
#include "model/to_device.h"

namespace ulmfit::train {
namespace {

// Both of a batch's id matrices for a way to `device` that waits for nothing. By any thread.
at::Tensor packed_ids(const data::LmBatch& batch, at::Device device) {
  const c10::OptionalDeviceGuard guard(device.is_cpu() ? std::nullopt : std::optional(device));
  const at::Tensor ids = at::empty({2, batch.T, batch.B}, at::TensorOptions(at::kInt).pinned_memory(!device.is_cpu()));
  auto* next = ids.mutable_data_ptr<std::int32_t>();
  for (const auto* matrix : {&batch.x, &batch.y}) {
    next = std::transform(matrix->begin(), matrix->end(), next, [](auto id) { return static_cast<std::int32_t>(id); });
  }
  return ids;
}

// [2, T, B] int64.
at::Tensor ids_on(at::Device device, const at::Tensor& packed) { return model::to_device(packed, device).to(at::kLong); }

// Ranks meet so often while they evaluate. One without a stream of its own (there are fewer than ranks) would else wait for
// the result beyond the communicator's deadline; so the deadline is for this many windows, and a dead rank is noticed.
constexpr std::int64_t kWindowsBetweenMeetings = 8;

std::int64_t streams_of_micro_batch(const LmTaskOptions& options, const MicroBatches& micro_batches) {
  if (options.streams.streams % micro_batches.total != 0) {
    throw ConfigError(str("cannot split ", options.streams.streams, " streams into ", micro_batches.total,
                          " equal micro-batches; choose --train.streams as a multiple of ", micro_batches.total));
  }
  return options.streams.streams / micro_batches.total;
}

// This rank's streams of each window; also the words of all ranks' streams where these are fewer than `most_words`, told by
// the number of tokens.
class WindowSource : public BatchSource<LmWindow> {
 public:
  WindowSource(std::shared_ptr<data::LmStreams> streams, std::int64_t first, std::int64_t count, std::int64_t all,
               std::int64_t most_words, at::Device device)
      : streams_(std::move(streams)), first_(first), count_(count), all_(all), most_words_(most_words), device_(device) {}

  std::int64_t batches_in_epoch(std::int64_t epoch) const override {
    return static_cast<std::int64_t>(streams_->windows(epoch).size());
  }
  LmWindow read(std::int64_t epoch, std::int64_t index) override {
    const data::LmBatch batch = streams_->batch(epoch, index, first_, count_);
    LmWindow window{batch.T, batch.epoch_start, packed_ids(batch, device_), {}};
    if (batch.T * all_ <= most_words_) window.words = streams_->words(epoch, index);
    return window;
  }

 private:
  std::shared_ptr<data::LmStreams> streams_;
  std::int64_t first_, count_, all_, most_words_;
  at::Device device_;
};

// Where sums run beside the computation, those of the lookup's gradient come last, and nothing hides them: of large
// vocabularies only the rows that are looked up are summed. Every rank reads all streams to know them, which costs less
// than to ask the others, and nothing within the step.
std::unique_ptr<WindowSource> window_source(std::shared_ptr<data::LmStreams> streams, const LmTaskOptions& options,
                                            const MicroBatches& micro_batches, const model::AwdLstm& encoder,
                                            const comm::Communicator& comm) {
  const std::int64_t columns = streams_of_micro_batch(options, micro_batches);
  const std::int64_t most_words = comm.overlaps() ? encoder.shape().vocabulary / 2 : 0;
  return std::make_unique<WindowSource>(std::move(streams), micro_batches.first * columns, micro_batches.count * columns,
                                        options.streams.streams, most_words, encoder.device());
}

constexpr std::size_t kWindowsAhead = 2;

// The first of `total` equal parts' bounds; parts differ by at most one when it does not divide.
std::int64_t part_begin(std::int64_t n, std::int64_t part, std::int64_t total) { return n * part / total; }

}  // namespace

LmScore evaluate_lm(const model::AwdLstm& encoder, const model::SoftmaxHead& head, const data::ShardSet& shards,
                    data::LmStreamOptions options, const MicroBatches& micro_batches, comm::Communicator& comm) {
  at::NoGradGuard no_grad;
  // A short text in many streams would start from an empty memory in each of them: at least four windows a stream.
  const std::int64_t fitting = std::max<std::int64_t>(shards.token_count() / (4 * options.bptt), 1);
  options.streams = std::min(options.streams, fitting);
  options.variable_bptt = false;
  options.shuffle = false;
  data::LmStreams streams(shards, options);
  const auto windows = static_cast<std::int64_t>(streams.windows(0).size());
  const auto weights = encoder.batch_weights(0, nullptr);
  at::Tensor nats = at::zeros({micro_batches.count}, at::kDouble);
  for (std::int64_t k = 0; k < micro_batches.count; ++k) {
    const std::int64_t first = part_begin(options.streams, micro_batches.first + k, micro_batches.total);
    const std::int64_t count = part_begin(options.streams, micro_batches.first + k + 1, micro_batches.total) - first;
    model::LstmState state = encoder.zero_state(count);
    at::Tensor sum = at::zeros({}, at::TensorOptions(encoder.device()).dtype(at::kDouble));
    const auto add = [&](const data::LmBatch& batch) {
      const at::Tensor ids = ids_on(encoder.device(), packed_ids(batch, encoder.device()));
      model::EncoderOutput out = encoder.forward(ids[0], state, weights, {}, nullptr);
      state = std::move(out.next);
      const at::Tensor top = out.top.reshape({batch.T * batch.B, -1});
      sum.add_(head.loss(top, ids[1].flatten(), 1.0, encoder.precision()).nats);
    };
    for (std::int64_t w = 0; w < windows; ++w) {
      if (w % kWindowsBetweenMeetings == 0) comm.barrier();
      if (count > 0) add(streams.batch(0, w, first, count));
    }
    if (count > 0 && first + count == options.streams && streams.dropped_tokens() > 1) {
      state = state.narrow(count - 1, 1);
      add(streams.rest(0));
    }
    nats[k] = sum.cpu();
  }
  // Added in the order of the micro-batches on every rank, so that the sum has the same bits everywhere.
  const at::Tensor all = comm.all_gather(nats).reshape({-1});
  const auto* values = all.const_data_ptr<double>();
  LmScore score;
  score.nats = std::accumulate(values, values + all.numel(), 0.0);
  score.targets = static_cast<double>(shards.token_count() - 1);  // the first token is nobody's next
  return score;
}

LmTask::LmTask(model::AwdLstm& encoder, model::SoftmaxHead& head, const data::ShardSet& train, const data::ShardSet* valid,
               LmTaskOptions options, MicroBatches micro_batches, comm::Communicator& comm)
    : LmTask(encoder, head, std::make_shared<data::LmStreams>(train, options.streams), valid, options, micro_batches,
             comm) {}

LmTask::LmTask(model::AwdLstm& encoder, model::SoftmaxHead& head, std::shared_ptr<data::LmStreams> streams,
               const data::ShardSet* valid, LmTaskOptions options, MicroBatches micro_batches, comm::Communicator& comm)
    : BatchTask(encoder, head, micro_batches, comm, window_source(streams, options, micro_batches, encoder, comm),
                kWindowsAhead),
      head_(head),
      options_(options),
      valid_(valid),
      streams_(std::move(streams)),
      micro_batch_streams_(streams_of_micro_batch(options, micro_batches)) {
  for (std::int64_t k = 0; k < micro_batches.count; ++k) states_.push_back(encoder.zero_state(micro_batch_streams_));
  if (!options_.cuda_graph) return;
  check_graph();
  graphs_ = std::make_unique<model::WindowGraphs>(encoder.device());
  states_before_ = {encoder.zero_state(micro_batch_streams_)};
  nats_ = at::zeros({}, at::TensorOptions(encoder.device()).dtype(at::kDouble));
  used_ = {head.weight()};
  for (const auto& p : encoder.parameters()) used_.push_back(p.tensor);
  for (const auto& p : head.parameters()) used_.push_back(p.tensor);
}

std::vector<comm::ReducedParameter> LmTask::reduced_parameters() const {
  std::vector<comm::ReducedParameter> reduced = reduced_of_encoder();
  for (auto& r : reduced) {
    if (r.tensor.is_same(encoder_.embedding())) r.early = head_.weight();
  }
  const std::int64_t layer = reduced.back().layer + 1;
  for (const auto& p : head_.parameters()) reduced.push_back({p.name, p.tensor, layer});
  return reduced;
}

std::int64_t LmTask::tokens_in_epoch() const { return options_.streams.streams * streams_->stream_length(); }

double LmTask::lr_scale(const Position& position) {
  if (!options_.scale_lr_by_bptt) return 1;
  if (lengths_of_ != position.epoch) {
    lengths_ = streams_->windows(position.epoch);
    lengths_of_ = position.epoch;
  }
  const auto& window = lengths_.at(static_cast<std::size_t>(position.index));
  return static_cast<double>(window.length) / static_cast<double>(options_.streams.bptt);
}

void LmTask::prepare_step(const LmWindow& window, const Position& position, comm::GradReducer& reducer,
                          StepSums& /*sums*/) {
  head_.begin_step(position.step);
  if (!window.words.empty()) reducer.expect_lookup(at::tensor(window.words, at::kLong));
  if (window.epoch_start) {
    for (auto& state : states_) state.copy_from(encoder_.zero_state(micro_batch_streams_));
  }
  if (graphs_) return;
  states_before_ = states_;
  ids_ = ids_on(encoder_.device(), window.ids);
  const model::MaskKey key{options_.seed, static_cast<std::uint64_t>(position.step), {}};
  weights_ = encoder_.batch_weights(options_.dropout.weight, &key);
}

void LmTask::backward_micro_batch(const LmWindow& window, const Position& position, std::int64_t index, StepSums& sums) {
  const std::int64_t B = micro_batch_streams_;
  at::Tensor nats;
  if (graphs_) {
    recorded_pass(window, position.step);
    nats = nats_;
  } else {
    auto& state = states_[static_cast<std::size_t>(index)];
    const bool last = index + 1 == micro_batches_.count;
    Pass done = pass(ids_.narrow(2, index * B, B), state, last ? std::exchange(weights_, {}) : weights_,
                     mask_key(position.step, index));
    state = std::move(done.next);
    nats = std::move(done.nats);
  }
  sums.nats.push_back(std::move(nats));
  sums.targets += static_cast<double>(window.T * B);
  sums.items += static_cast<double>(window.T * B);
}

model::MaskKey LmTask::mask_key(std::int64_t step, std::int64_t index) const {
  model::MaskKey key{options_.seed, static_cast<std::uint64_t>(step),
                     std::vector<std::uint32_t>(static_cast<std::size_t>(micro_batch_streams_))};
  std::iota(key.streams.begin(), key.streams.end(),
            static_cast<std::uint32_t>((micro_batches_.first + index) * micro_batch_streams_));
  return key;
}

// Of the windows `ids` [2, T, B], x and y; gradients are added to the parameters'.
LmTask::Pass LmTask::pass(const at::Tensor& ids, const model::LstmState& from, std::vector<model::LstmWeights> weights,
                          const model::MaskKey& key) const {
  const std::int64_t T = ids.size(1), B = ids.size(2);
  const at::Tensor x = ids[0].contiguous(), y = ids[1].flatten();
  const auto& rates = options_.dropout;
  model::EncoderOutput out = encoder_.forward(x, from, weights, rates, &key);
  weights.clear();  // autograd keeps what it needs
  at::Tensor dropped = out.top;
  if (rates.output > 0) {
    dropped =
        dropped * model::locked_mask(key, Purpose::kOutputDropout, 0, rates.output, out.top.size(2), encoder_.device());
  }
  // Every term is divided by its global count here, once: sums over micro-batches and ranks are then the mean of the whole
  // batch.
  const auto global_tokens = static_cast<double>(T * options_.streams.streams);
  const auto width = static_cast<double>(out.top.size(2));
  const model::CrossEntropy ce =
      head_.training_loss(dropped.reshape({T * B, -1}), y, 1 / global_tokens, encoder_.precision());
  at::Tensor loss = ce.loss;
  if (options_.ar > 0) loss = loss + dropped.square().sum() * (options_.ar / (global_tokens * width));
  if (options_.tar > 0 && T > 1) {
    const auto steps = static_cast<double>((T - 1) * options_.streams.streams);
    const at::Tensor change = out.top.narrow(0, 1, T - 1) - out.top.narrow(0, 0, T - 1);
    loss = loss + change.square().sum() * (options_.tar / (steps * width));
  }
  torch::autograd::backward({loss}, {});
  return {ce.nats, out.next.detached()};
}

void LmTask::check_graph() const {
  if (micro_batches_.count != 1) {
    throw ConfigError(str("--train.cuda-graph records a step in one piece, and each rank's is split into ",
                          micro_batches_.count,
                          ": leave out --train.max-streams-per-pass; with --reproducible take 8 ranks"));
  }
  if (!head_.is_full() || head_.estimates()) {
    throw ConfigError(
        "--train.cuda-graph: the host takes part in each step of an approximate softmax; leave it out, or --softmax.kind");
  }
}

// Of what a recorded pass uses and others make.
std::vector<const void*> LmTask::places() const {
  std::vector<const void*> all;
  for (const at::Tensor& parameter : used_) {
    all.push_back(parameter.const_data_ptr());
    all.push_back(parameter.grad().defined() ? parameter.grad().const_data_ptr() : nullptr);
  }
  return all;
}

void LmTask::recorded_pass(const LmWindow& window, std::int64_t step) {
  at::Tensor& ids = windows_[window.T];
  if (!ids.defined()) ids = at::empty(window.ids.sizes(), at::TensorOptions(encoder_.device()).dtype(at::kInt));
  ids.copy_(window.ids, /*non_blocking=*/true);
  model::LstmState &now = states_.front(), &before = states_before_.front();
  graphs_->run(window.T, step, places(), [&] {
    const model::MaskKey key = mask_key(/*step=*/0, 0);
    before.copy_from(now);
    const Pass done = pass(ids.to(at::kLong), before, encoder_.batch_weights(options_.dropout.weight, &key), key);
    now.copy_from(done.next);
    nats_.copy_(done.nats);
  });
}

void LmTask::discard_step_unless(const at::Tensor& admitted) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const auto keep = [&](std::vector<at::Tensor>& now, const std::vector<at::Tensor>& before) {
      for (std::size_t l = 0; l < now.size(); ++l) at::where_out(now[l], admitted, now[l], before[l]);
    };
    keep(states_[i].h, states_before_[i].h);
    keep(states_[i].c, states_before_[i].c);
  }
}

Evaluation LmTask::validate() {
  Evaluation result;
  if (valid_ == nullptr) return result;
  const LmScore score = evaluate_lm(encoder_, head_, *valid_, options_.streams, micro_batches_, comm_);
  result.score = score.nats / score.targets;
  result.values = {{"loss", result.score}, {"perplexity", std::exp(result.score)}, {"tokens", score.targets}};
  return result;
}

Evaluation LmTask::validate_finished() {
  Evaluation result = validate();
  if (valid_ == nullptr || head_.is_full()) return result;
  const LmScore score = evaluate_lm(encoder_, head_.full(), *valid_, options_.streams, micro_batches_, comm_);
  const double loss = score.nats / score.targets;
  result.values.insert({{kFullSoftmaxLoss, loss}, {kFullSoftmaxPerplexity, std::exp(loss)}});
  return result;
}

interop::NamedTensors LmTask::recurrent_state() {
  interop::NamedTensors tensors;
  for (std::size_t l = 0; l < states_[0].h.size(); ++l) {
    for (const bool cell : {false, true}) {
      std::vector<at::Tensor> mine;
      for (const auto& state : states_) mine.push_back(cell ? state.c[l] : state.h[l]);
      const at::Tensor all = comm_.all_gather(at::cat(mine).contiguous());  // [N, G / N, W]
      tensors.emplace_back(str("lstm.", cell ? "c." : "h.", l), all.reshape({options_.streams.streams, -1}).cpu());
    }
  }
  return tensors;
}

void LmTask::load_recurrent_state(const interop::NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    for (std::size_t l = 0; l < states_[0].h.size(); ++l) {
      for (std::int64_t k = 0; k < micro_batches_.count; ++k) {
        auto& state = states_[static_cast<std::size_t>(k)];
        const bool cell = name == str("lstm.c.", l);
        if (!cell && name != str("lstm.h.", l)) continue;
        if (tensor.dim() != 2 || tensor.size(0) != options_.streams.streams || tensor.size(1) != state.h[l].size(1)) {
          throw CheckpointError(
              str("cannot continue: ", name, " has another shape than ", options_.streams.streams, " streams need"));
        }
        const at::Tensor rows = tensor.narrow(0, (micro_batches_.first + k) * micro_batch_streams_, micro_batch_streams_);
        (cell ? state.c[l] : state.h[l]).copy_(rows);
      }
    }
  }
}

}  // namespace ulmfit::train
