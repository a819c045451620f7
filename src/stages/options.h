// The options that stages share, as structs with defaults and meaning in place. declare() binds them to the command line.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/named_values.h"
#include "config/length.h"
#include "config/option_set.h"
#include "model/document_pooling.h"
#include "model/shape.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "train/classifier_task.h"
#include "train/lm_task.h"
#include "train/task.h"
#include "train/trainer.h"

namespace ulmfit::stages {

// What LSTM and softmax head compute in.
enum class Arithmetic { kAuto, kFp32, kTf32, kBf16 };  // auto: by the device (compute.h)
inline constexpr Named<Arithmetic> kArithmetics[] = {
    {Arithmetic::kAuto, "auto"}, {Arithmetic::kFp32, "fp32"}, {Arithmetic::kTf32, "tf32"}, {Arithmetic::kBf16, "bf16"}};

inline constexpr Named<at::DeviceType> kDeviceTypes[] = {{at::kCPU, "cpu"}, {at::kCUDA, "cuda"}};

// Which way a model reads.
inline constexpr Named<bool> kBackward[] = {{false, "forward"}, {true, "backward"}};

// Where and in what a command computes.
struct ComputeOptions {
  std::optional<at::DeviceType> device;  // none: a GPU if this build and machine have one
  Arithmetic precision = Arithmetic::kAuto;
  std::int64_t threads = 0;  // CPU threads a rank; 0: its share of the cores
  bool reproducible = false;
  double deadline = 600;                 // seconds a rank waits for the others
  void declare(config::OptionSet& set);  // the first three
};

// How and where a stage runs, whatever it trains.
struct RunOptions {
  std::string output;
  ComputeOptions compute;
  std::string license;  // of the model, for its card
  bool dry_run = false;
  bool restart = false;
  bool extend = false;
  std::int64_t seed = 1;
  config::Length checkpoint_every{config::Length::Unit::kSteps, 1000};
  train::Retention retention;
  config::Length log_every{config::Length::Unit::kSteps, 50};
  std::int64_t max_streams_per_pass = 0;  // 0: all
  void declare(config::OptionSet& set);
};

void declare(config::OptionSet& set, model::Shape& shape);
void declare(config::OptionSet& set, model::Bpt3cOptions& bpt3c);
void declare(config::OptionSet& set, train::LmTaskOptions& task);  // but for dropout, direction and seed

// Rates before drop-mult; `multiplier` scales all of them.
struct DropoutOptions {
  model::DropoutRates rates;
  double multiplier = 1;
  void declare(config::OptionSet& set);
  model::DropoutRates resolved() const;  // ConfigError when a scaled rate reaches 1
};

// As the paper and fastai drop in a classifier: other rates than those of a language model, halved.
DropoutOptions classifier_dropout();

// As fastai and the paper's scripts regularise a classifier: AR 2, TAR 1.
train::ClassifierTaskOptions classifier_task();

// How the learning rate follows the global batch: not at all, in proportion (Goyal et al. 2017), or with its square root
// (as Adam's noise suggests: Malladi et al. 2022).
enum class LrRule { kNone, kLinear, kSqrt };
inline constexpr Named<LrRule> kLrRules[] = {{LrRule::kNone, "none"}, {LrRule::kLinear, "linear"}, {LrRule::kSqrt, "sqrt"}};

// ConfigError with the nearest name for a text that names no unfreezing plan; one of epochs by phase may be anything.
void require_unfreeze_plan(const std::string& text);

struct OptimOptions {
  double lr = 0.004;
  LrRule lr_rule = LrRule::kNone;
  std::int64_t lr_batch = 0;  // the global batch that `lr` was chosen for
  std::vector<std::string> phase_lr;
  std::vector<std::string> phase_cut;
  std::string group_factors;  // "": discriminative by `factor`
  double factor = 1;          // each group's rate over the one below it
  double clip = 0.25;
  config::Length epochs{config::Length::Unit::kEpochs, 1};
  config::Length max_steps{config::Length::Unit::kSteps, 0};
  std::string unfreeze = "full";
  std::vector<std::string> train_groups;  // none: all that `unfreeze` says
  std::int64_t patience = 0;
  optim::OptimizerOptions optimizer;
  std::int64_t nt_asgd = 0;  // checks; 0: weights are not averaged
  optim::ScheduleOptions schedule;
  bool one_schedule = false;  // over the stage; else one for each unfreezing phase
  bool select_best = false;   // the weights that validated best; else the last ones
  void declare(config::OptionSet& set);
  // What all rates are multiplied by for a global batch of that size. ConfigError for a rule without --optim.lr-batch.
  double lr_scale(std::int64_t batch) const;
  // The plan for a task with that global batch, lengths turned into its steps; throws ConfigError for nonsense.
  train::PlanOptions plan(const train::Task& task, std::int64_t batch) const;
};

// The defaults of the later stages.
OptimOptions finetune_optim();    // discriminative rates
OptimOptions classifier_optim();  // and gradual unfreezing over ten epochs

}  // namespace ulmfit::stages
