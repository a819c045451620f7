// What every training stage does around its task: log the plan, open the run folder, resume, train, select the weights.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "comm/grad_reducer.h"
#include "comm/world_check.h"
#include "config/option_set.h"
#include "stages/options.h"
#include "stages/stage_folder.h"
#include "train/task.h"
#include "train/trainer.h"
#include "train/training_plan.h"
#include "train/weight_average.h"

namespace ulmfit::stages {

enum class StageEnd {
  kTrained,      // the stage is written
  kNothingToDo,  // it had been before
  kPlanned,      // --dry-run
  kStopped       // by a signal, after saving
};

struct StageResult {
  StageResult(StageEnd how = StageEnd::kTrained) : end(how) {}  // NOLINT(google-explicit-constructor)

  StageEnd end;
  double seconds = 0;  // of the run with validations, over all restarts; kPlanned: that its steps would take
  // All that follows is of a stage that was trained.
  std::filesystem::path run_folder;
  train::Evaluation evaluation;  // of the weights selected
  double items = 0;              // targets seen
  std::int64_t steps = 0;
  reports::MetricNames names;  // Task::metric_names()
};

// A stage made ready for the ranks of one communicator: data opened, model built, nothing written. Two may live side by
// side in a process, as those of verify-parity do. The options and the set that it was made from must outlive it.
struct TrainingStage {
  TrainingStage(std::string command, const RunOptions& run_options, const OptimOptions& optim_options,
                const config::OptionSet& set)
      : title(std::move(command)), run(run_options), optim(optim_options), settings(set) {}
  virtual ~TrainingStage() = default;
  TrainingStage(const TrainingStage&) = delete;
  TrainingStage& operator=(const TrainingStage&) = delete;

  virtual train::Task& task() const = 0;
  // The resolved configuration for people: without [model] where the stage before decides.
  std::string shown_config() const;

  // Writes the stage with the weights that the model has now into the run folder. Rank 0 alone.
  virtual void write(const StageResult& result) const = 0;

  const std::string title;  // "pretrain", for screen and report
  const RunOptions& run;
  const OptimOptions& optim;
  const config::OptionSet& settings;  // the resolved configuration
  bool shape_of_parent = false;       // not that of settings
  train::MicroBatches micro_batches;
  std::int64_t batch_size = 0;                               // streams or documents of the global batch
  std::string batch_option;                                  // that sets it
  std::vector<std::string> doubts;                           // what is unlikely to work, said before the run
  double bytes = 0;                                          // of memory that a rank needs at least (model::training_bytes)
  std::vector<std::pair<std::string, std::string>> summary;  // for the plan and the report
  comm::Facts inputs;  // run_inputs(): compared between ranks, and with those of the run folder
};

// How its options say that the trainer works.
train::TrainerOptions trainer_options(const TrainingStage& stage);

// What a training run consists of around its task, on one communicator.
struct Engine {
  // `store` and `observer` as train::Trainer takes them.
  Engine(const TrainingStage& stage, const train::TrainingPlan& plan, comm::Communicator& comm,
         train::CheckpointStore* store, train::Observer* observer, const train::TrainerOptions& options);

  optim::Optimizer optimizer;
  comm::GradReducer reducer;
  std::unique_ptr<train::WeightAverage> average;  // null: none
  train::Trainer trainer;
};

// All ranks bring the same program, libraries, configuration, data, shapes, threads and processors, or CommError.
// Collective.
void check_world(const TrainingStage& stage, comm::Communicator& comm);

// Trains to the end and writes the stage. Collective.
StageResult run_stage(const TrainingStage& stage, comm::Communicator& comm);

// What a command prints of a stage that was trained: steps, seconds, rate, validation.
nlohmann::json to_json(const StageResult& result, const std::string& command);

}  // namespace ulmfit::stages
