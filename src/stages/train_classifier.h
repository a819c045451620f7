// Stage 3: a classifier on the encoder of a language model, or from scratch.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/options.h"
#include "stages/stage_run.h"

namespace ulmfit::stages {

struct TrainClassifierOptions {
  RunOptions run;
  ModelOptions model;  // with --from none
  DropoutOptions dropout;
  OptimOptions optim;
  Bpt3cDeclaration bpt3c;
  std::string data;
  std::string from;
  std::string direction = "forward";  // with --from none
  std::int64_t batch_size = 64;
  std::vector<std::string> hidden{"50"};
  double head_dropout = 0.1;
  double ar = 2;  // as fastai and the paper's scripts
  double tar = 1;

  void declare(config::OptionSet& set);
};

// Calls `body` with the stage made ready for the ranks of `comm`. verify-parity does so twice in one process.
ExitCode with_classifier_stage(const TrainClassifierOptions& options, const config::OptionSet& set,
                               comm::Communicator& comm, const StageBody& body);

// Runs on all ranks of the launcher; prints a JSON line with the result.
ExitCode train_classifier(const TrainClassifierOptions& options, const config::OptionSet& set);

}  // namespace ulmfit::stages
