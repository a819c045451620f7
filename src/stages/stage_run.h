// What every training stage does around its task: print the plan, open the run folder, resume, train, select the weights.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/options.h"
#include "stages/stage_folder.h"
#include "train/task.h"
#include "train/training_plan.h"

namespace ulmfit::stages {

struct StageRun {
  std::string title;  // "pretrain", for screen and report
  const RunOptions& run;
  const OptimOptions& optim;
  const config::OptionSet& set;  // resolved configuration
  train::Task& task;
  std::vector<optim::NamedParameter> reduced;  // parameters whose gradients are summed over ranks
  train::ShardPlan shards;
  std::vector<std::pair<std::string, std::string>> facts;  // for the plan and the report
  std::vector<std::pair<std::string, std::string>> world;  // compared between ranks at start
};

struct StageResult {
  train::Evaluation evaluation;  // of the weights selected
  double seconds = 0;            // training, over all restarts
  double items = 0;              // targets seen
  std::int64_t steps = 0;
};

// Trains to the end and then calls `finish` on every rank (which writes the stage on rank 0). Returns kStopped when a
// signal ended it after saving. Collective.
ExitCode run_stage(const StageRun& stage, comm::Communicator& comm,
                   const std::function<void(const StageResult&, const std::filesystem::path& run_folder)>& finish);

}  // namespace ulmfit::stages
