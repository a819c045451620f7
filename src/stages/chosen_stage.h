// The options of one of the three stages of training, for commands that look at a training without carrying it out.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/train_classifier.h"
#include "stages/train_lm.h"

namespace ulmfit::stages {

inline constexpr std::string_view kStages[] = {"pretrain", "finetune-lm", "train-classifier"};

struct ChosenStage {
  std::string command = "pretrain";  // one of kStages
  TrainLmOptions lm;                 // of the first two
  TrainClassifierOptions classifier;

  void declare(config::OptionSet& set);  // those of `command`
  bool is_classifier() const { return command == "train-classifier"; }
  RunOptions& run() { return is_classifier() ? classifier.run : lm.run; }
  const RunOptions& run() const { return is_classifier() ? classifier.run : lm.run; }
  OptimOptions& optim() { return is_classifier() ? classifier.optim : lm.optim; }
  const OptimOptions& optim() const { return is_classifier() ? classifier.optim : lm.optim; }

  // TrainLmOptions::resolve(); before prepare().
  void resolve(const config::OptionSet& set, const comm::Communicator& comm);

  // The stage ready to be trained on the ranks of `comm`. Collective.
  std::unique_ptr<TrainingStage> prepare(const config::OptionSet& set, comm::Communicator& comm) const;
};

}  // namespace ulmfit::stages
