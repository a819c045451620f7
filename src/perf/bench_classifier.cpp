#include "perf/bench_classifier.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "base/machine.h"
#include "base/stopwatch.h"
#include "reports/number_format.h"
#include "stages/compute.h"
#include "train/classifier_task.h"

namespace ulmfit::perf {
namespace {

constexpr std::int64_t kHeadWidth = 50;

struct Classifier {
  model::AwdLstm encoder;
  model::PoolingHead head;
};

Classifier make_classifier(const model::Shape& shape, std::int64_t classes, std::uint64_t seed, at::Device device,
                           const model::Bpt3cOptions& bpt3c, const stages::RunOptions& run) {
  Classifier made{model::AwdLstm(shape, seed, device),
                  model::PoolingHead({{3 * shape.embedding, kHeadWidth, classes}, bpt3c}, seed, device)};
  made.encoder.set_precision(stages::use_precision(run.compute.precision, device));
  return made;
}

model::Shape shape_of(model::Shape shape, const Documents& documents) {
  shape.vocabulary = documents.vocabulary();
  return shape;
}

std::string arithmetic_text(const stages::RunOptions& run, const comm::Communicator& comm) {
  return std::string(name_in(stages::kArithmetics, stages::arithmetic_on(comm.device(), run.compute.precision)));
}

std::string title(const char* name, const model::Shape& shape, const Documents& documents, std::int64_t batch_size,
                  const stages::RunOptions& run, const comm::Communicator& comm) {
  return str("bench ", name, ": AWD-LSTM ", shape.embedding, "/", shape.hidden, " x ", shape.layers, ", ", shape.vocabulary,
             " words, ", documents.shards().document_count(), " documents of ", reports::fixed(documents.mean_tokens(), 0),
             " tokens, batches of ", batch_size, ", ", arithmetic_text(run, comm), "; ", stages::describe_compute(comm));
}

nlohmann::json line_of(const char* name, const model::Shape& shape, const Documents& documents, std::int64_t batch_size,
                       const stages::RunOptions& run, const comm::Communicator& comm) {
  return {{"bench", name},
          {"precision", arithmetic_text(run, comm)},
          {"vocab", shape.vocabulary},
          {"documents", documents.shards().document_count()},
          {"mean_tokens", documents.mean_tokens()},
          {"batch_size", batch_size},
          {"embedding", shape.embedding},
          {"hidden", shape.hidden},
          {"layers", shape.layers}};
}

}  // namespace

void BenchClassifierOptions::declare(config::OptionSet& set) {
  blocks.warmup = 1;
  documents.declare(set);
  set.add("batch-size", batch_size, "documents of the global batch", {.min = 2, .max = 1 << 24});
  blocks.declare(set, /*of_epochs=*/true);
  declare_compute(set, run);
  stages::declare(set, shape);
  dropout.declare(set);
  stages::declare(set, bpt3c);
  set.add_common({"data", "vocab", "documents", "length", "classes", "batch-size", "blocks", "profile", "model.embedding",
                  "model.hidden", "model.layers", "device", "precision", "train.threads"});
}

Measured bench_classifier(const BenchClassifierOptions& options, comm::Communicator& comm) {
  const auto seed = static_cast<std::uint64_t>(options.run.seed);
  const train::MicroBatches micro_batches =
      stages::micro_batches_of(options.run, options.batch_size, /*exact=*/false, comm);
  const Documents documents(options.documents, seed);
  const model::Shape shape = shape_of(options.shape, documents);
  Classifier classifier = make_classifier(shape, documents.classes(), seed, comm.device(), options.bpt3c, options.run);
  train::ClassifierTaskOptions task_options = stages::classifier_task();
  task_options.batches.batch_size = options.batch_size;
  task_options.batches.seed = seed;
  task_options.dropout = options.dropout.resolved();
  task_options.seed = seed;
  train::ClassifierTask task(classifier.encoder, classifier.head, documents.shards(), nullptr, task_options, micro_batches,
                             comm);
  BlockOptions blocks = options.blocks;
  if (blocks.block == 0) blocks.block = task.steps_in_epoch(0);
  const double before = product_peak(comm.device(), product_type(classifier.encoder.precision()));
  const TrainingMeasurements measurements = measure_training(task, options.run, micro_batches, blocks, comm);
  const double peak = std::max(before, product_peak(comm.device(), product_type(classifier.encoder.precision())));
  if (comm.rank() != 0) return {};
  nlohmann::json line = line_of("classifier", shape, documents, options.batch_size, options.run, comm);
  Table table(title("classifier", shape, documents, options.batch_size, options.run, comm));
  const double flop =
      (documents.mean_tokens() + 2 * documents.mean_tokens(options.bpt3c)) * encoder_training_flop(shape) / 3;
  describe_training(measurements, "docs_per_s", flop, peak, comm, line, table);
  return {line, table.text()};
}

void BenchPredictOptions::declare(config::OptionSet& set) {
  documents.declare(set);
  set.add("batch-size", batch_size, "documents of a batch", {.min = 1, .max = 1 << 24});
  set.add("blocks", blocks, "passes over the documents that count, after one that does not", {.min = 1, .max = 1e6});
  declare_compute(set, run);
  stages::declare(set, shape);
  stages::declare(set, bpt3c);
}

Measured bench_predict(const BenchPredictOptions& options, comm::Communicator& comm) {
  const auto seed = static_cast<std::uint64_t>(options.run.seed);
  const train::MicroBatches micro_batches =
      stages::micro_batches_of(options.run, options.batch_size, /*exact=*/false, comm);
  const Documents documents(options.documents, seed);
  const model::Shape shape = shape_of(options.shape, documents);
  Classifier classifier = make_classifier(shape, documents.classes(), seed, comm.device(), options.bpt3c, options.run);
  data::DocumentBatchOptions batches;
  batches.batch_size = options.batch_size;
  double peak = product_peak(comm.device(), product_type(classifier.encoder.precision()));
  std::vector<double> rates;
  for (std::int64_t pass = 0; pass <= options.blocks; ++pass) {
    comm.barrier();
    const Stopwatch watch;
    train::predict_probabilities(classifier.encoder, classifier.head, documents.shards(), batches, micro_batches, comm);
    if (pass > 0) rates.push_back(static_cast<double>(documents.shards().document_count()) / watch.seconds());
  }
  peak = std::max(peak, product_peak(comm.device(), product_type(classifier.encoder.precision())));
  if (comm.rank() != 0) return {};
  const Spread rate = spread(rates);
  const double flops = rate.median * documents.mean_tokens() * encoder_training_flop(shape) / 3 / comm.size();
  nlohmann::json line = line_of("predict", shape, documents, options.batch_size, options.run, comm);
  add_spread(line, "docs_per_s", rate);
  line["ranks"] = comm.size();
  line["threads"] = at::get_num_threads();
  line["model_gflops_per_rank"] = flops / 1e9;
  line["product_peak_gflops"] = peak / 1e9;
  line["share_of_peak"] = flops / peak;
  line["cpu"] = cpu_model();
  if (!comm.device().is_cpu()) line["gpu"] = comm.processor();
  Table table(title("predict", shape, documents, options.batch_size, options.run, comm));
  table.add("docs_per_s", str(describe(rate), ", ", rates.size(), " passes"));
  table.add("model GFLOP/s a rank", str(reports::significant(flops / 1e9, 4), ", ", reports::percent(flops / peak),
                                        " of the ", reports::significant(peak / 1e9, 4), " of large products"));
  add_memory(stages::peak_memory(comm.device()), line, table);
  return {line, table.text()};
}

}  // namespace ulmfit::perf
