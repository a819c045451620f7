#include "commands/commands.h"

#include <torch/version.h>

#include <algorithm>
#include <iostream>

#include "base/log.h"
#include "base/output.h"
#include "comm/launch.h"
#include "config/option_set.h"

namespace ulmfit::commands {

const std::vector<Command>& all() {
  static const std::vector<Command> commands{
      {"tokenize", "text in, tokens out, one document a line", tokenize},
      {"prepare-corpus", "text to vocabulary and token shards", prepare_corpus},
      {"prepare-labelled", "labelled text to shards for the language model and the classifier", prepare_labelled},
      {"pretrain", "stage 1: train a language model (alone or under mpirun)", pretrain},
      {"finetune-lm", "stage 2: tune a language model on the target text", finetune_lm},
      {"train-classifier", "stage 3: train a classifier on it", train_classifier},
      {"evaluate", "perplexity, or error rate and confusion matrix, of finished stages", evaluate},
      {"predict", "text in, labels out, one JSON object a line", predict},
      {"inspect", "what a corpus, shard folder, checkpoint or stage holds", inspect},
      {"run", "all stages of a pipeline file, each resumed, or skipped if done", run_pipeline},
      {"verify-parity", "do N ranks of this cluster train as one rank does? (under mpirun)", verify_parity},
      {"bench", "measure speed on this machine", bench},
      {"plan", "memory, hours and efficiency of a run on up to 1,024 ranks, before the queue wait", plan},
  };
  return commands;
}

namespace {

std::string overview() {
  std::string text = "ulmfit: Universal Language Model Fine-tuning\n\nUsage: ulmfit COMMAND [options]\n\nCommands:\n";
  for (const auto& command : all()) {
    std::string name(command.name);
    name.resize(18, ' ');
    text += "  " + name + std::string(command.summary) + '\n';
  }
  return text + "\n`ulmfit COMMAND --help` explains every option of a command. `ulmfit --version` names this build.\n";
}

}  // namespace

int dispatch(const Arguments& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "help") {
    (arguments.empty() ? std::cerr : std::cout) << overview();
    return static_cast<int>(arguments.empty() ? ExitCode::kConfig : ExitCode::kDone);
  }
  if (arguments[0] == "--version") {
    std::cout << "ulmfit " << ULMFIT_VERSION << " (libtorch " << TORCH_VERSION << ")\n";
    return static_cast<int>(ExitCode::kDone);
  }
  const std::string& name = arguments[0];
  const auto found = std::find_if(all().begin(), all().end(), [&](const Command& c) { return c.name == name; });
  try {
    if (found == all().end()) {
      std::vector<std::string> names;
      for (const auto& command : all()) names.emplace_back(command.name);
      throw ConfigError(str("there is no command '", name, "'; did you mean ", config::nearest(name, names),
                            "? (ulmfit --help lists all)"));
    }
    const ExitCode code = found->run({arguments.begin() + 1, arguments.end()});
    if (code == ExitCode::kDone) flush_output(std::cout);
    return static_cast<int>(code);
  } catch (const std::exception&) {
    const comm::Failure failure = comm::current_failure();
    log::error(name, failure.message);
    return static_cast<int>(failure.code);
  }
}

}  // namespace ulmfit::commands
