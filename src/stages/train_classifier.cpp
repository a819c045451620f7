#include "stages/train_classifier.h"

#include <ATen/ATen.h>

#include <charconv>
#include <iostream>
#include <optional>

#include "base/log.h"
#include "base/stop_signal.h"
#include "comm/launch.h"
#include "data/corpus_folder.h"
#include "stages/compute.h"
#include "stages/run_folder.h"
#include "stages/run_identity.h"
#include "stages/stage_folder.h"
#include "stages/stage_run.h"
#include "train/classifier_task.h"

namespace ulmfit::stages {
namespace {

std::vector<std::int64_t> head_widths(const TrainClassifierOptions& options, std::int64_t embedding, std::size_t classes) {
  std::vector<std::int64_t> widths{3 * embedding};
  for (const auto& text : options.hidden) {
    std::int64_t width = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), width);
    if (error != std::errc{} || end != text.data() + text.size() || width < 0 || width > 65536) {
      throw ConfigError(str("--head.hidden=", text, ": expected widths of hidden layers such as 50, or 0 for none"));
    }
    if (width > 0) widths.push_back(width);
  }
  widths.push_back(static_cast<std::int64_t>(classes));
  return widths;
}

void copy_encoder(const Stage& parent, model::AwdLstm& encoder) {
  at::NoGradGuard no_grad;
  const auto from = parent.encoder->parameters();
  const auto to = encoder.parameters();
  for (std::size_t i = 0; i < to.size(); ++i) {
    at::Tensor into = to[i].tensor;
    into.copy_(from[i].tensor);
  }
}

// Rows of the classifier's vocabulary must be the language model's: train-classifier does not transfer words.
void check_parent(const Stage& parent, const text::Vocabulary& vocabulary, const TrainClassifierOptions& options) {
  if (parent.info.kind != StageKind::kLanguageModel) {
    throw CheckpointError(str("--from ", options.from, " is a classifier; train-classifier starts from a language model"));
  }
  if (parent.vocabulary->fingerprint() != vocabulary.fingerprint()) {
    throw CheckpointError(str("the vocabulary of ", options.from, " (", parent.vocabulary->size(), " words, ",
                              parent.vocabulary->fingerprint(), ") is not that of ", options.data, " (", vocabulary.size(),
                              " words, ", vocabulary.fingerprint(),
                              "); tune the language model on the lm folder that lies beside it, or prepare "
                              "the data with --vocab ",
                              options.from));
  }
}

// The columns that prepare-labelled joined into one text.
std::vector<std::string> text_columns(const fs::path& data) {
  const nlohmann::json request = data::corpus_provenance(data).value("request", nlohmann::json::object());
  return request.value("text_columns", std::vector<std::string>{"text"});
}

constexpr const char* kCommand = "train-classifier";

}  // namespace

ExitCode with_classifier_stage(const TrainClassifierOptions& options, const config::OptionSet& set,
                               comm::Communicator& comm, const StageBody& body) {
  const train::ShardPlan shards = shard_plan(options.run, options.task.batches.batch_size, /*exact=*/false, comm);
  const model::DropoutRates dropout = options.dropout.resolved();
  const data::CorpusInfo corpus = data::open_corpus(options.data);
  if (corpus.kind != "labelled") {
    throw DataError(str(options.data, " has no labels; train-classifier needs the labelled folder of prepare-labelled"));
  }
  const text::Vocabulary vocabulary = text::Vocabulary::load(fs::path(options.data) / "vocab.txt");
  const data::ShardSet train = data::open_split(options.data, corpus, "train");
  if (train.document_count() < 2)
    throw DataError(str(options.data, " has ", train.document_count(), " training text; batch norm needs two"));
  std::optional<data::ShardSet> valid;
  if (corpus.splits.contains("valid")) valid = data::open_split(options.data, corpus, "valid");

  std::optional<Stage> parent;
  model::Shape shape = options.shape;
  bool backward = options.backward;
  if (options.from != "none") {
    parent = read_stage(options.from, comm.device());
    check_parent(*parent, vocabulary, options);
    check_same_text(*parent, corpus, options.data);
    shape = parent->info.shape;
    backward = parent->info.backward;
  }
  shape.vocabulary = vocabulary.size();
  const auto seed = static_cast<std::uint64_t>(options.run.seed);
  model::AwdLstm encoder(shape, seed, comm.device());
  encoder.set_precision(use_precision(options.run.compute.precision, comm.device()));
  if (parent) copy_encoder(*parent, encoder);
  const ClassifierInfo classifier{corpus.labels, head_widths(options, shape.embedding, corpus.labels.size()),
                                  options.task.bpt3c, text_columns(options.data)};
  model::PoolingHead head(classifier.head_widths, seed, comm.device());

  train::ClassifierTaskOptions task_options = options.task;
  task_options.batches = {options.task.batches.batch_size, /*shuffle=*/true, backward, /*max_tokens=*/0, seed};
  task_options.dropout = dropout;
  task_options.seed = seed;
  task_options.labels = corpus.labels;
  train::ClassifierTask task(encoder, head, train, valid ? &*valid : nullptr, task_options, shards, comm);

  // Of texts as long as the mean: a batch of long ones needs more.
  const std::int64_t length = std::min(train.token_count() / train.document_count(), classifier.bpt3c.length);
  const auto tokens_of_a_pass = static_cast<double>(options.task.batches.batch_size * length / shards.total);
  StageRun stage{kCommand, options.run, options.optim, set, task, shards, model::training_bytes(shape, tokens_of_a_pass, 1),
                 {},       {}};
  stage.facts = {
      {"data", str(options.data, ": ", train.document_count(), " texts, ", train.token_count(), " tokens, ",
                   corpus.labels.size(), " classes")},
      {"model", str("AWD-LSTM ", shape.embedding, "/", shape.hidden, " x ", shape.layers, backward ? ", backward" : "",
                    ", ", vocabulary.size(), " words, ", parent ? "from " + options.from : "from scratch")},
      {"batches", str(options.task.batches.batch_size, " texts, windows of ", classifier.bpt3c.window,
                      " tokens, gradients over ", classifier.bpt3c.length)}};
  stage.inputs = run_inputs(options.data, options.from);

  return body(stage, [&](const StageResult& result, const fs::path& folder) {
    if (comm.rank() != 0) return;
    StageInfo info;
    info.kind = StageKind::kClassifier;
    info.shape = shape;
    info.backward = backward;
    info.classifier = classifier;
    info.figures = result.evaluation.values;
    if (parent) {
      info.lineage = parent->info.lineage;
      info.lineage.back().fingerprint = parent->model_fingerprint;
    }
    info.lineage.push_back({kCommand,
                            "",
                            {{"data_fingerprint", train.fingerprint()},
                             {"data", data::corpus_provenance(options.data)},
                             {"texts", train.document_count()},
                             {"steps", result.steps},
                             {"seed", seed},
                             {"figures", result.evaluation.values}}});
    write_stage(folder / "stage", info, encoder, &head, options.data, set.to_config());
    nlohmann::json line = {{"stage", kCommand},
                           {"output", folder.string()},
                           {"steps", result.steps},
                           {"seconds", result.seconds},
                           {"docs_per_s", result.items / std::max(result.seconds, 1e-9)}};
    for (const auto& [name, value] : result.evaluation.values) line["valid_" + name] = value;
    std::cout << line.dump() << std::endl;
  });
}

void TrainClassifierOptions::declare(config::OptionSet& set) {
  set.add("data", data, "the labelled folder of prepare-labelled", config::OnResume::kMayChange);
  set.require("data");
  set.add("from", from, "stage of the language model to start from, or none (from scratch)", config::OnResume::kMayChange);
  set.require("from");
  set.add("direction", backward, kBackward, "with --from none: read the texts forward or from their end");
  set.add("train.batch-size", task.batches.batch_size, "texts of the global batch", {.min = 2, .max = 1 << 24});
  set.add_alias("batch-size", "train.batch-size");
  set.add("head.hidden", hidden, "widths of the head's hidden layers; 0: none");
  set.add("head.dropout", task.head_dropout, "share dropped before the head's later layers (not scaled by drop-mult)",
          {.min = 0, .max = 0.999});
  stages::declare(set, shape);
  run.declare(set);
  dropout.declare(set);
  stages::declare(set, task.bpt3c);
  optim.declare(set);
  set.add("optim.ar", task.ar, "activation regularisation alpha; 0: none", {.min = 0});
  set.add("optim.tar", task.tar, "temporal activation regularisation beta; 0: none", {.min = 0});
  for (const char* key : {"optim.ar", "optim.tar"}) set.add_value_of_older_runs(key, "0");
}

ExitCode train_classifier(const TrainClassifierOptions& options, const config::OptionSet& set) {
  const StopSignalScope stop_after_a_step(comm::read_launch_environment().under_launcher);
  return on_ranks(options.run.compute, [&](comm::Communicator& comm) {
    const auto known_inputs = [&] { return known_run_inputs(options.data, options.from); };
    if (nothing_to_do(options.run, kCommand, set, known_inputs, comm)) return ExitCode::kDone;
    return with_classifier_stage(options, set, comm, [&](const StageRun& stage, const FinishStage& finish) {
      return run_stage(stage, comm, finish);
    });
  });
}

}  // namespace ulmfit::stages
