// The subcommands of ulmfit: each reads its arguments, calls the room that does the work, and returns the exit code.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ulmfit::commands {

using Arguments = std::vector<std::string>;

struct Command {
  std::string_view name;
  std::string_view summary;  // one line for `ulmfit --help`
  ExitCode (*run)(const Arguments& arguments);
};

ExitCode tokenize(const Arguments& arguments);
ExitCode prepare_corpus(const Arguments& arguments);
ExitCode prepare_labelled(const Arguments& arguments);
ExitCode pretrain(const Arguments& arguments);
ExitCode finetune_lm(const Arguments& arguments);
ExitCode train_classifier(const Arguments& arguments);
ExitCode evaluate(const Arguments& arguments);
ExitCode predict(const Arguments& arguments);
ExitCode inspect(const Arguments& arguments);
ExitCode run_pipeline(const Arguments& arguments);
ExitCode verify_parity(const Arguments& arguments);
ExitCode bench(const Arguments& arguments);
ExitCode plan(const Arguments& arguments);

// Those that train a stage, in the order of a project.
inline const std::vector<std::string> kTrainingStages{"pretrain", "finetune-lm", "train-classifier"};

// All of them, in the order of a project.
const std::vector<Command>& all();

// Runs `ulmfit ARGUMENTS...`: finds the command, turns errors into a message on standard error and an exit code.
int dispatch(const Arguments& arguments);

}  // namespace ulmfit::commands
