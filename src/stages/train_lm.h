// Stages 1 and 2: language-model pretraining, and fine-tuning of a language model on the target text.
#pragma once

#include <string>

#include "base/error.h"
#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/options.h"
#include "stages/stage_run.h"

namespace ulmfit::stages {

struct TrainLmOptions {
  RunOptions run;
  model::Shape shape;  // pretrain, or with --from none
  DropoutOptions dropout;
  train::LmTaskOptions task;  // its dropout, direction and seed come from the others
  OptimOptions optim;
  std::string corpus;
  std::string from = "none";  // finetune-lm: the stage to start from
  bool backward = false;      // pretrain; finetune-lm takes it from the stage

  void declare_pretrain(config::OptionSet& set);
  void declare_finetune(config::OptionSet& set);

 private:
  void declare_common(config::OptionSet& set);
};

// Calls `body` with the stage `command` made ready for the ranks of `comm`. verify-parity does so twice in one process.
ExitCode with_lm_stage(const std::string& command, const TrainLmOptions& options, const config::OptionSet& set,
                       comm::Communicator& comm, const StageBody& body);

// `command` is "pretrain" or "finetune-lm". Runs on all ranks of the launcher; prints a JSON line with the result.
ExitCode train_lm(const std::string& command, const TrainLmOptions& options, const config::OptionSet& set);

}  // namespace ulmfit::stages
