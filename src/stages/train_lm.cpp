#include "stages/train_lm.h"

#include <ATen/ATen.h>

#include <cmath>
#include <iostream>
#include <optional>

#include "base/log.h"
#include "base/stop_signal.h"
#include "comm/launch.h"
#include "data/corpus_folder.h"
#include "model/vocabulary_transfer.h"
#include "stages/compute.h"
#include "stages/run_folder.h"
#include "stages/run_identity.h"
#include "stages/stage_folder.h"
#include "stages/stage_run.h"
#include "train/lm_task.h"

namespace ulmfit::stages {
namespace {

struct Transferred {
  std::optional<Stage> parent;
  std::int64_t known = 0;  // words of the new vocabulary that the parent has
};

// Copies the parent's weights into `target`, words matched by their text.
std::int64_t transfer(const Stage& parent, const text::Vocabulary& vocabulary, model::AwdLstm& target) {
  at::NoGradGuard no_grad;
  std::vector<std::int64_t> source;
  std::int64_t known = 0;
  for (const auto& token : vocabulary.tokens()) {
    const bool found = parent.vocabulary->knows(token);
    known += found;
    source.push_back(found ? parent.vocabulary->id(token) : -1);
  }
  const auto from = parent.encoder->parameters();
  const auto to = target.parameters();
  for (std::size_t i = 0; i < to.size(); ++i) {
    const bool by_word = to[i].name == "embedding.weight" || to[i].name == "decoder.bias";
    at::Tensor into = to[i].tensor;
    into.copy_(by_word ? model::transfer_rows(from[i].tensor, source) : from[i].tensor);
  }
  return known;
}

void print_result(const std::string& command, const StageResult& result, const fs::path& folder) {
  nlohmann::json line = {{"stage", command},
                         {"output", folder.string()},
                         {"steps", result.steps},
                         {"seconds", result.seconds},
                         {"tokens_per_s", result.items / std::max(result.seconds, 1e-9)}};
  for (const auto& [name, value] : result.evaluation.values) line["valid_" + name] = value;
  std::cout << line.dump() << std::endl;
}

}  // namespace

ExitCode with_lm_stage(const std::string& command, const TrainLmOptions& options, const config::OptionSet& set,
                       comm::Communicator& comm, const StageBody& body) {
  const train::ShardPlan shards = shard_plan(options.run, options.task.streams.streams, /*exact=*/true, comm);
  const model::DropoutRates dropout = options.dropout.resolved();
  const data::CorpusInfo corpus = data::open_corpus(options.corpus);
  if (corpus.kind != "lm") {
    throw DataError(
        str(options.corpus, " is a ", corpus.kind, " set; ", command, " needs the lm folder of a prepared corpus"));
  }
  const text::Vocabulary vocabulary = text::Vocabulary::load(fs::path(options.corpus) / "vocab.txt");
  const data::ShardSet train = data::open_split(options.corpus, corpus, "train");
  std::optional<data::ShardSet> valid;
  if (corpus.splits.contains("valid")) valid = data::open_split(options.corpus, corpus, "valid");

  Transferred from;
  model::Shape shape = options.shape;
  bool backward = options.backward;
  if (options.from != "none") {
    from.parent = read_stage(options.from, comm.device());
    if (from.parent->info.kind != StageKind::kLanguageModel) {
      throw CheckpointError(str("--from ", options.from, " is a classifier; finetune-lm starts from a language model"));
    }
    check_same_text(*from.parent, corpus, options.corpus);
    shape = from.parent->info.shape;
    backward = from.parent->info.backward;
  }
  shape.vocabulary = vocabulary.size();
  const auto seed = static_cast<std::uint64_t>(options.run.seed);
  model::AwdLstm model(shape, seed, comm.device());
  model.set_precision(use_precision(options.run.compute.precision, comm.device()));
  if (from.parent) {
    from.known = transfer(*from.parent, vocabulary, model);
    log::info(command, str(from.known, " of ", vocabulary.size(), " words are known to ", options.from,
                           "; the others start as the mean"));
  }

  train::LmTaskOptions task_options = options.task;
  task_options.streams.backward = backward;
  task_options.streams.seed = seed;
  task_options.dropout = dropout;
  task_options.seed = seed;
  train::LmTask task(model, train, valid ? &*valid : nullptr, task_options, shards, comm);

  const auto tokens_of_a_pass =
      static_cast<double>(options.task.streams.streams * options.task.streams.bptt / shards.total);
  StageRun stage{command, options.run, options.optim, set, task, shards, model::training_bytes(shape, tokens_of_a_pass, 1),
                 {},      {}};
  stage.facts = {
      {"corpus", str(options.corpus, ": ", train.token_count(), " tokens, ", train.document_count(), " documents, ",
                     vocabulary.size(), " words")},
      {"model", str("AWD-LSTM ", shape.embedding, "/", shape.hidden, " x ", shape.layers, backward ? ", backward" : "")},
      {"streams",
       str(options.task.streams.streams, " of ", (train.token_count() - 1) / options.task.streams.streams,
           " tokens, windows of ", options.task.streams.variable_bptt ? "about " : "", options.task.streams.bptt)}};
  stage.inputs = run_inputs(options.corpus, options.from);

  return body(stage, [&](const StageResult& result, const fs::path& folder) {
    if (comm.rank() != 0) return;
    StageInfo info;
    info.shape = shape;
    info.backward = backward;
    info.figures = result.evaluation.values;
    if (from.parent) {
      info.lineage = from.parent->info.lineage;
      info.lineage.back().fingerprint = from.parent->model_fingerprint;
    }
    nlohmann::json facts = {{"corpus_fingerprint", train.fingerprint()},
                            {"corpus", data::corpus_provenance(options.corpus)},
                            {"tokens", train.token_count()},
                            {"steps", result.steps},
                            {"tokens_seen", result.items},
                            {"seed", seed},
                            {"figures", result.evaluation.values}};
    if (from.parent) facts["words_known_to_parent"] = from.known;
    info.lineage.push_back({command, "", facts});
    write_stage(folder / "stage", info, model, nullptr, options.corpus, set.to_config());
    print_result(command, result, folder);
  });
}

void TrainLmOptions::declare_common(config::OptionSet& set) {
  set.add("corpus", corpus, "prepared text: a folder of prepare-corpus, or the lm folder of prepare-labelled",
          config::OnResume::kMayChange);
  set.require("corpus");
  run.declare(set);
  dropout.declare(set);
  declare(set, task);
  optim.declare(set);
}

void TrainLmOptions::declare_pretrain(config::OptionSet& set) {
  set.add("direction", backward, kBackward, "read the text forward, or each document from its end");
  declare(set, shape);
  declare_common(set);
}

void TrainLmOptions::declare_finetune(config::OptionSet& set) {
  optim = finetune_optim();
  set.add("from", from, "stage of the language model to start from, or none", config::OnResume::kMayChange);
  set.require("from");
  set.add("direction", backward, kBackward, "with --from none: read the text forward, or each document from its end");
  declare(set, shape);
  declare_common(set);
}

ExitCode train_lm(const std::string& command, const TrainLmOptions& options, const config::OptionSet& set) {
  const StopSignalScope stop_after_a_step(comm::read_launch_environment().under_launcher);
  return on_ranks(options.run.compute, [&](comm::Communicator& comm) {
    const auto known_inputs = [&] { return known_run_inputs(options.corpus, options.from); };
    if (nothing_to_do(options.run, command, set, known_inputs, comm)) return ExitCode::kDone;
    return with_lm_stage(command, options, set, comm,
                         [&](const StageRun& stage, const FinishStage& finish) { return run_stage(stage, comm, finish); });
  });
}

}  // namespace ulmfit::stages
