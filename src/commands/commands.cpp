#include "commands/commands.h"

#include <torch/version.h>

#include <iostream>

#include "base/log.h"
#include "base/machine.h"
#include "base/output.h"
#include "comm/launch.h"

namespace ulmfit::commands {

std::unique_ptr<Command> tokenize();
std::unique_ptr<Command> prepare_corpus();
std::unique_ptr<Command> prepare_labelled();
std::unique_ptr<Command> pretrain();
std::unique_ptr<Command> finetune_lm();
std::unique_ptr<Command> train_classifier();
std::unique_ptr<Command> evaluate();
std::unique_ptr<Command> join_folds();
std::unique_ptr<Command> predict();
std::unique_ptr<Command> embed();
std::unique_ptr<Command> generate();
std::unique_ptr<Command> import_model();
std::unique_ptr<Command> fetch();
std::unique_ptr<Command> export_model();
std::unique_ptr<Command> inspect();
std::unique_ptr<Command> status();
std::unique_ptr<Command> compare();
ExitCode run_pipeline(const Arguments& arguments);
ExitCode fit(const Arguments& arguments);
ExitCode study(const Arguments& arguments);
std::unique_ptr<Command> find_lr();
std::unique_ptr<Command> verify_parity();
ExitCode bench(const Arguments& arguments);
std::unique_ptr<Command> plan();

const std::vector<Entry>& all() {
  static const std::vector<Entry> entries{
      {.name = "fit", .summary = "from labelled texts to a tested classifier, all in one", .drive = fit},
      {"tokenize", "text in, tokens out, one document a line", tokenize},
      {"prepare-corpus", "text to vocabulary and token shards", prepare_corpus},
      {"prepare-labelled", "labelled text to shards for the language model and the classifier", prepare_labelled},
      {"pretrain", "stage 1: train a language model (alone or under mpirun)", pretrain, /*trains=*/true},
      {"finetune-lm", "stage 2: tune a language model on the target text", finetune_lm, /*trains=*/true},
      {"train-classifier", "stage 3: train a classifier on it", train_classifier, /*trains=*/true},
      {"evaluate", "perplexity, or error rate and confusion matrix, of finished stages", evaluate},
      {"join-folds", "the evaluations of cross-validation's folds as one", join_folds},
      {"predict", "text in, labels out", predict},
      {"embed", "text in, vectors out", embed},
      {"generate", "text that a language model goes on with", generate},
      {"import", "a model of fastai becomes a stage", import_model},
      {"fetch", "a published model of fastai, by its name", fetch},
      {"export", "a stage as files that fastai loads, or as one archive", export_model},
      {"inspect", "what a corpus, shard folder, checkpoint or stage holds", inspect},
      {"status", "are runs alive, how far, what did they reach", status},
      {"compare", "runs side by side: settings that differ, figures, curves", compare},
      {.name = "run", .summary = "all stages of a pipeline file, each resumed, or skipped if done", .drive = run_pipeline},
      {.name = "study", .summary = "the paper's comparisons on your texts: a grid of runs, and its tables", .drive = study},
      {"find-lr", "which learning rate suits a stage, by a short training", find_lr},
      {"verify-parity", "do N ranks of this cluster train as one rank does? (under mpirun)", verify_parity},
      {.name = "bench", .summary = "measure speed on this machine", .drive = bench},
      {"plan", "memory, hours and efficiency of a run on up to 1,024 ranks, before the queue wait", plan},
  };
  return entries;
}

namespace {

std::string overview() {
  return str("ulmfit: Universal Language Model Fine-tuning\n\nUsage: ulmfit COMMAND [options]\n\nCommands:\n", list(all()),
             "\n`ulmfit COMMAND --help` explains the options that people change, `--help all` every one. `ulmfit "
             "--version` names this build.\n");
}

}  // namespace

int dispatch(const Arguments& arguments) {
  if (wants_list(arguments) || arguments[0] == "help") return static_cast<int>(print_list(arguments, overview()));
  if (arguments[0] == "--version") {
    std::cout << "ulmfit " << ULMFIT_VERSION << " (libtorch " << TORCH_VERSION << ")\n";
    return static_cast<int>(ExitCode::kDone);
  }
  raise_open_files();
  const std::string& name = arguments[0];
  try {
    const ExitCode code = call(require(all(), name, "command", "ulmfit --help"), {arguments.begin() + 1, arguments.end()});
    if (code == ExitCode::kDone) flush_output(std::cout);
    comm::leave_ranks();
    return static_cast<int>(code);
  } catch (const std::exception&) {
    const comm::Failure failure = comm::current_failure();
    log::error(name, failure.message);
    return static_cast<int>(failure.code);
  }
}

}  // namespace ulmfit::commands
