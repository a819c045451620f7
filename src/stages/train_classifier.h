// Stage 3: a classifier on the encoder of a language model, or from scratch.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/options.h"
#include "stages/stage_run.h"
#include "train/classifier_task.h"

namespace ulmfit::stages {

struct TrainClassifierOptions {
  RunOptions run;
  model::Shape shape;  // with --from none
  DropoutOptions dropout = classifier_dropout();
  OptimOptions optim = classifier_optim();
  train::ClassifierTaskOptions task = classifier_task();  // its dropout, direction, seed and labels come from the others
  std::string data;
  std::string from;
  bool backward = false;  // with --from none
  std::vector<std::string> hidden{"50"};

  void declare(config::OptionSet& set);
};

// Calls `body` with the stage made ready for the ranks of `comm`. verify-parity does so twice in one process.
ExitCode with_classifier_stage(const TrainClassifierOptions& options, const config::OptionSet& set,
                               comm::Communicator& comm, const StageBody& body);

// Runs on all ranks of the launcher; prints a JSON line with the result.
ExitCode train_classifier(const TrainClassifierOptions& options, const config::OptionSet& set);

}  // namespace ulmfit::stages
