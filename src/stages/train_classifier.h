// Stage 3: a classifier on the encoder of a language model, or from scratch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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
  model::Bpt3cOptions bpt3c;
  train::ClassifierTaskOptions task = classifier_task();  // its dropout, direction, seed and labels come from the others
  std::string data;
  std::string from;
  bool backward = false;  // with --from none
  std::vector<std::int64_t> hidden{50};
  std::vector<std::string> class_weights;  // LABEL=WEIGHT, or balanced alone; none: 1 each

  void declare(config::OptionSet& set);
};

// The stage ready to be run on the ranks of `comm`. Collective.
std::unique_ptr<TrainingStage> prepare_classifier(const TrainClassifierOptions& options, const config::OptionSet& set,
                                                  comm::Communicator& comm);

// Prepares and runs it, unless it is finished. Collective.
StageResult train_classifier(const TrainClassifierOptions& options, const config::OptionSet& set, comm::Communicator& comm);

}  // namespace ulmfit::stages
