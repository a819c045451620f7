#include "perf/bench_lm.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "base/stopwatch.h"
#include "data/corpus_folder.h"
#include "perf/plain_lm.h"
#include "perf/synthetic_corpus.h"
#include "reports/number_format.h"
#include "stages/compute.h"
#include "train/lm_task.h"

namespace ulmfit::perf {
namespace {

constexpr std::int64_t kMostTokens = 1 << 27;  // made up, 256 or 512 MB

// Made-up tokens, or the training text of a prepared corpus.
struct Tokens {
  std::unique_ptr<SyntheticCorpus> made;
  std::unique_ptr<data::ShardSet> shards;
  std::unique_ptr<data::ShardSet> plain_shards;  // a set has one reading thread
  std::int64_t vocabulary = 0;
};

Tokens open_tokens(const BenchLmOptions& options) {
  Tokens tokens;
  if (options.corpus.empty()) {
    // Of long runs the epochs repeat.
    const std::int64_t batch = options.task.streams.streams * options.task.streams.bptt;
    const std::int64_t needed = std::min((options.blocks.steps() + 1) * batch, std::max(kMostTokens, 2 * batch));
    tokens.vocabulary = options.vocabulary;
    tokens.made = std::make_unique<SyntheticCorpus>(options.vocabulary, needed / 1000 + options.task.streams.streams, 1000,
                                                    0, static_cast<std::uint64_t>(options.run.seed));
    tokens.shards = std::make_unique<data::ShardSet>(tokens.made->folder(), "train");
    if (options.plain) tokens.plain_shards = std::make_unique<data::ShardSet>(tokens.made->folder(), "train");
    return tokens;
  }
  const data::CorpusInfo info = data::open_corpus(options.corpus);
  if (info.kind != "lm") {
    throw DataError(
        str("bench lm: ", options.corpus, " is a ", info.kind, " set; expected the lm folder of a prepared corpus"));
  }
  tokens.shards = std::make_unique<data::ShardSet>(data::open_split(options.corpus, info, "train"));
  if (options.plain) {
    tokens.plain_shards = std::make_unique<data::ShardSet>(data::open_split(options.corpus, info, "train"));
  }
  tokens.vocabulary = tokens.shards->header().vocabulary_size;
  return tokens;
}

// The plain loop on the same windows of the same streams, taking its own time.
class PlainRun {
 public:
  PlainRun(const BenchLmOptions& options, const model::AwdLstm& start, const data::ShardSet& shards,
           const data::LmStreamOptions& streams)
      : streams_(shards, streams),
        windows_(static_cast<std::int64_t>(streams_.windows(0).size())),
        model_(start, options.dropout.resolved(), bench_optim(), options.task.ar, options.task.tar, streams.streams,
               static_cast<std::uint64_t>(options.run.seed)),
        count_(streams.streams),
        device_(start.device()) {}

  void block(std::int64_t steps) {
    double seconds = 0;
    double tokens = 0;
    double loss = 0;
    for (std::int64_t i = 0; i < steps; ++i, ++step_) {
      const data::LmBatch batch = streams_.batch(step_ / windows_, step_ % windows_, 0, count_);
      const at::Tensor x = at::tensor(batch.x, at::kLong).view({batch.T, count_}).to(device_);
      const at::Tensor y = at::tensor(batch.y, at::kLong).view({batch.T, count_}).to(device_);
      const Stopwatch watch;
      loss += model_.train_step(x, y);
      seconds += watch.seconds();
      tokens += static_cast<double>(x.numel());
    }
    rates.push_back(tokens / seconds);
    losses.push_back(loss / static_cast<double>(steps));
  }

  std::vector<double> rates;  // the first is the warm-up's
  std::vector<double> losses;

 private:
  data::LmStreams streams_;
  std::int64_t windows_;
  PlainLm model_;
  std::int64_t count_;
  at::Device device_;
  std::int64_t step_ = 0;
};

void describe_plain(const PlainRun& plain, const TrainingMeasurements& ours, nlohmann::json& line, Table& table) {
  const std::vector<double> rates(plain.rates.begin() + 1, plain.rates.end());
  const Spread ratio = ratio_spread(ours.rates, rates);
  add_spread(line, "plain_tokens_per_s", spread(rates));
  add_spread(line, "over_plain", ratio);
  line["plain_loss"] = plain.losses.back();
  table.add("plain loop, tokens/s", describe(spread(rates)));
  table.add("plain loop, loss of the last block", reports::fixed(plain.losses.back(), 4));
  table.add("over the plain loop", describe(ratio));
}

}  // namespace

void BenchLmOptions::declare(config::OptionSet& set) {
  task.streams.variable_bptt = false;
  set.add("corpus", corpus, "prepared text to train on; without it made-up tokens of --vocab words");
  set.add("vocab", vocabulary, "words of the made-up tokens", {.min = 16, .max = 1e8});
  set.add("streams", task.streams.streams, "streams of the global batch", {.min = 1, .max = 1 << 24});
  set.add("bptt", task.streams.bptt, "tokens of a window", {.min = 1, .max = 100000});
  set.add("train.cuda-graph", task.cuda_graph, "on a GPU, record a step once for each length of window and start it whole");
  set.add("plain", plain, "alternate with a plain torch loop of the same model, dropouts and optimizer (one rank)");
  set.add("reproducible", run.compute.reproducible, "measure the reproducible mode");
  blocks.declare(set, /*of_epochs=*/false);
  declare_compute(set, run);
  stages::declare(set, shape);
  softmax.declare(set);
  dropout.declare(set);
  set.add_common({"corpus", "vocab", "streams", "bptt", "plain", "reproducible", "blocks", "profile", "model.embedding",
                  "model.hidden", "model.layers", "softmax.kind", "device", "precision", "train.threads"});
}

Measured bench_lm(const BenchLmOptions& options, comm::Communicator& comm) {
  if (options.plain && comm.size() > 1) {
    throw ConfigError(str("bench lm --plain: the plain loop knows one rank, not ", comm.size(), "; run it outside mpirun"));
  }
  if (options.plain && options.softmax.kind != stages::SoftmaxKind::kFull) {
    throw ConfigError("bench lm --plain: the plain loop computes the full softmax; leave --softmax.kind out");
  }
  const data::LmStreamOptions streams = [&] {
    data::LmStreamOptions s = options.task.streams;
    s.seed = static_cast<std::uint64_t>(options.run.seed);
    return s;
  }();
  const train::MicroBatches micro_batches = stages::micro_batches_of(options.run, streams.streams, /*exact=*/true, comm);
  const Tokens tokens = open_tokens(options);
  model::Shape shape = options.shape;
  shape.vocabulary = tokens.vocabulary;
  model::AwdLstm encoder(shape, streams.seed, comm.device());
  const std::unique_ptr<model::SoftmaxHead> head = options.softmax.make(encoder, streams.seed);
  const model::Precision precision = stages::use_precision(options.run.compute.precision, comm.device());
  encoder.set_precision(precision);
  train::LmTaskOptions task_options = options.task;
  task_options.streams = streams;
  task_options.dropout = options.dropout.resolved();
  task_options.seed = streams.seed;
  train::LmTask task(encoder, *head, *tokens.shards, nullptr, task_options, micro_batches, comm);
  std::unique_ptr<PlainRun> plain;
  if (options.plain) plain = std::make_unique<PlainRun>(options, encoder, *tokens.plain_shards, streams);
  std::function<void(std::int64_t)> between;
  if (plain) between = [&](std::int64_t steps) { plain->block(steps); };
  const double before = product_peak(comm.device(), product_type(precision));
  const TrainingMeasurements measurements =
      measure_training(task, options.run, micro_batches, options.blocks, comm, between);
  const double peak = std::max(before, product_peak(comm.device(), product_type(precision)));
  if (comm.rank() != 0) return {};

  const auto arithmetic =
      name_in(stages::kArithmetics, stages::arithmetic_on(comm.device(), options.run.compute.precision));
  nlohmann::json line = {{"bench", "lm"},
                         {"vocab", shape.vocabulary},
                         {"streams", streams.streams},
                         {"bptt", streams.bptt},
                         {"embedding", shape.embedding},
                         {"hidden", shape.hidden},
                         {"layers", shape.layers},
                         {"softmax", name_in(stages::kSoftmaxKinds, options.softmax.kind)},
                         {"parameters", shape.encoder_parameters() + shape.vocabulary},
                         {"precision", arithmetic},
                         {"cuda_graph", options.task.cuda_graph},
                         {"reproducible", options.run.compute.reproducible}};
  Table table(str("bench lm: AWD-LSTM ", shape.embedding, "/", shape.hidden, " x ", shape.layers, ", ", shape.vocabulary,
                  " words (", name_in(stages::kSoftmaxKinds, options.softmax.kind), " softmax), ", streams.streams,
                  " streams x ", streams.bptt, " tokens, ", arithmetic, "; ", stages::describe_compute(comm)));
  // Of an approximation the encoder's alone: what a token needs of the head is another number for each.
  const bool full = options.softmax.kind == stages::SoftmaxKind::kFull;
  describe_training(measurements, "tokens_per_s", full ? lm_training_flop(shape) : encoder_training_flop(shape), peak, comm,
                    line, table);
  if (plain) describe_plain(*plain, measurements, line, table);
  return {line, table.text()};
}

}  // namespace ulmfit::perf
