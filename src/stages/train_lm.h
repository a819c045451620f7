// Stages 1 and 2: language-model pretraining, and fine-tuning of a language model on the target text.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/options.h"
#include "stages/softmax_options.h"
#include "stages/stage_run.h"

namespace ulmfit::stages {

struct TrainLmOptions {
  RunOptions run;
  model::Shape shape;      // pretrain, or with --from none
  SoftmaxOptions softmax;  // pretrain
  DropoutOptions dropout;
  train::LmTaskOptions task;  // its dropout, direction and seed come from the others
  OptimOptions optim;
  std::string corpus;
  std::string from = "none";          // finetune-lm: the stage to start from
  bool backward = false;              // pretrain; finetune-lm takes it from the stage
  std::int64_t streams_per_rank = 0;  // 0: task.streams.streams is given

  // Turns streams of a rank into those of the global batch, which is what a run folder keeps.
  void resolve(const config::OptionSet& set, const comm::Communicator& comm);

  void declare_pretrain(config::OptionSet& set);
  void declare_finetune(config::OptionSet& set);

 private:
  void declare_common(config::OptionSet& set);
};

// The stage `command`, "pretrain" or "finetune-lm", ready to be run on the ranks of `comm`. Collective.
std::unique_ptr<TrainingStage> prepare_lm(const std::string& command, const TrainLmOptions& options,
                                          const config::OptionSet& set, comm::Communicator& comm);

// Prepares and runs it, unless it is finished. Collective.
StageResult train_lm(const std::string& command, const TrainLmOptions& options, const config::OptionSet& set,
                     comm::Communicator& comm);

}  // namespace ulmfit::stages
