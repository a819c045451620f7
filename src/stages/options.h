// The options that stages share, as structs with defaults and meaning in place. declare() binds them to the command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/length.h"
#include "config/option_set.h"
#include "data/lm_streams.h"
#include "model/document_pooling.h"
#include "model/shape.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "train/task.h"
#include "train/trainer.h"

namespace ulmfit::stages {

// How and where a stage runs, whatever it trains.
struct RunOptions {
  std::string output;
  std::string device = "auto";
  std::string precision = "fp32";
  std::int64_t threads = 0;  // 0: cores / ranks
  bool reproducible = false;
  bool dry_run = false;
  bool restart = false;
  bool extend = false;
  std::int64_t seed = 1;
  double deadline = 600;  // seconds a rank waits for the others
  config::Length checkpoint_every{config::Length::Unit::kSteps, 1000};
  train::Retention retention;
  config::Length log_every{config::Length::Unit::kSteps, 50};
  std::int64_t max_streams_per_pass = 0;  // 0: all
  void declare(config::OptionSet& set);
};

// --precision, for every command that computes.
void declare_precision(config::OptionSet& set, std::string& precision);

// --max-line-bytes, for every command that reads lines of text.
void declare_max_line_bytes(config::OptionSet& set, std::int64_t& bytes);

struct ModelOptions {
  model::Shape shape;
  void declare(config::OptionSet& set);
};

// Rates before drop-mult; `multiplier` scales all of them.
struct DropoutOptions {
  model::DropoutRates rates;
  double multiplier = 1;
  void declare(config::OptionSet& set);
  model::DropoutRates resolved() const;  // ConfigError when a scaled rate reaches 1
};

struct OptimOptions {
  double lr = 0.004;
  std::vector<std::string> phase_lr;
  std::string group_factors;  // "": discriminative by `factor`
  double factor = 1;          // each group's rate over the one below it
  double weight_decay = 0.01;
  double clip = 0.25;
  config::Length epochs{config::Length::Unit::kEpochs, 1};
  config::Length max_steps{config::Length::Unit::kSteps, 0};
  std::string unfreeze = "full";
  std::int64_t patience = 0;
  std::string kind = "adam";
  double beta1 = 0.7;
  double beta2 = 0.99;
  double eps = 1e-5;
  std::string schedule = "slanted-triangular";
  std::string span = "phase";
  optim::ScheduleOptions shape;
  std::string select = "last";
  void declare(config::OptionSet& set);
  // The plan for a task, lengths turned into its steps; throws ConfigError for nonsense.
  train::PlanOptions plan(const train::Task& task) const;
  optim::OptimizerOptions optimizer() const;
};

struct StreamOptions {
  data::LmStreamOptions streams;
  double ar = 2;
  double tar = 1;
  bool scale_lr_by_bptt = false;
  void declare(config::OptionSet& set);
};

struct Bpt3cDeclaration {
  model::Bpt3cOptions bpt3c;
  std::string detach = "window";
  std::string pool = "all";
  void declare(config::OptionSet& set);
  model::Bpt3cOptions resolved() const;
};

}  // namespace ulmfit::stages
