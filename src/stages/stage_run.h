// What every training stage does around its task: print the plan, open the run folder, resume, train, select the weights.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "comm/grad_reducer.h"
#include "comm/world_check.h"
#include "config/option_set.h"
#include "stages/options.h"
#include "stages/stage_folder.h"
#include "train/task.h"
#include "train/trainer.h"
#include "train/training_plan.h"

namespace ulmfit::stages {

struct StageRun {
  std::string title;  // "pretrain", for screen and report
  const RunOptions& run;
  const OptimOptions& optim;
  const config::OptionSet& set;  // resolved configuration
  train::Task& task;
  train::ShardPlan shards;
  double bytes;                                            // of memory that a rank needs at least (model::training_bytes)
  std::vector<std::pair<std::string, std::string>> facts;  // for the plan and the report
  comm::Facts inputs;  // run_inputs(): compared between ranks, and with those of the run folder
};

struct StageResult {
  train::Evaluation evaluation;  // of the weights selected
  double seconds = 0;            // training, over all restarts
  double items = 0;              // targets seen
  std::int64_t steps = 0;
};

// Called on every rank with the selected weights; writes the stage on rank 0.
using FinishStage = std::function<void(const StageResult&, const std::filesystem::path& run_folder)>;
// What is done with a stage that was made ready: data opened, model built, nothing written.
using StageBody = std::function<ExitCode(const StageRun&, const FinishStage&)>;

// What a training run consists of around its task, on one communicator.
struct Engine {
  // `store` and `observer` as train::Trainer takes them.
  Engine(const StageRun& stage, const train::TrainingPlan& plan, comm::Communicator& comm, train::CheckpointStore* store,
         train::Observer* observer);

  optim::Optimizer optimizer;
  comm::GradReducer reducer;
  train::Trainer trainer;
};

// All ranks bring the same program, libraries, configuration, data, shapes, threads and processors, or CommError.
// Collective.
void check_world(const StageRun& stage, comm::Communicator& comm);

// Trains to the end and then calls `finish`. Returns kStopped when a signal ended it after saving. Collective.
ExitCode run_stage(const StageRun& stage, comm::Communicator& comm, const FinishStage& finish);

}  // namespace ulmfit::stages
