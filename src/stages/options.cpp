#include "stages/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "optim/param_groups.h"
#include "stages/run_length.h"

namespace ulmfit::stages {

using config::OnResume;
using Unit = config::Length::Unit;

namespace {
constexpr double kAlmostOne = 0.999;
constexpr Named<bool> kSpans[] = {{false, "phase"}, {true, "stage"}};        // of OptimOptions::one_schedule
constexpr Named<bool> kSelections[] = {{false, "last"}, {true, "best"}};     // of OptimOptions::select_best
constexpr Named<bool> kDetachments[] = {{true, "window"}, {false, "none"}};  // of Bpt3cOptions::detach
constexpr Named<bool> kMasks[] = {{true, "window"}, {false, "document"}};    // of Bpt3cOptions::window_masks
constexpr Named<bool> kPools[] = {{true, "all"}, {false, "length"}};         // of Bpt3cOptions::pool_all

double number_of(const char* option, const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size() && std::isfinite(value) && value >= 0) return value;
  throw ConfigError(str("--", option, "=", text, ": expected a number of at least 0"));
}

void require_groups(const std::vector<std::string>& wanted, const std::vector<std::string>& names) {
  for (const std::string& name : wanted) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    std::string list;
    for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
    throw ConfigError(str("--optim.train-groups: there is no layer group '", name, "' to train; this model has ", list,
                          " (did you mean ", config::nearest(name, names), "?)"));
  }
}

void declare_schedule(config::OptionSet& set, OptimOptions& options) {
  set.add("schedule.kind", options.schedule.kind, optim::kScheduleKinds, "course of the learning rate");
  set.add("schedule.span", options.one_schedule, kSpans, "one schedule for each unfreezing phase, or one over the stage");
  set.add("schedule.cut-frac", options.schedule.cut_frac,
          "slanted triangular, reverse annealing: share of the steps in which the rate rises", {.min = 0, .max = 1});
  set.add("schedule.phase-cut-frac", options.phase_cut,
          "the same by unfreezing phase, one value each, instead of --schedule.cut-frac in all");
  set.add("schedule.ratio", options.schedule.ratio, "slanted triangular, exponential: highest over lowest rate",
          {.min = 1});
  set.add("schedule.pct-start", options.schedule.pct_start, "one-cycle: share of the steps in which the rate rises",
          {.min = 0, .max = 1});
  set.add("schedule.div", options.schedule.div, "one-cycle: highest over first rate", {.min = 1});
  set.add("schedule.div-final", options.schedule.div_final, "one-cycle: highest over last rate", {.min = 1});
  set.add("schedule.momentum-high", options.schedule.momentum_high, "one-cycle: beta1 at both ends",
          {.min = 0, .max = kAlmostOne});
  set.add("schedule.momentum-low", options.schedule.momentum_low, "one-cycle: beta1 at the highest rate",
          {.min = 0, .max = kAlmostOne});
}

}  // namespace

void ComputeOptions::declare(config::OptionSet& set) {
  set.add("device", device, kDeviceTypes, "where to compute; auto takes a GPU if this build and machine have one",
          OnResume::kMayChange);
  set.add("precision", precision, kArithmetics,
          "what LSTM and softmax head compute in; auto: tf32 on GPUs, fp32 on CPUs; bf16: on CPUs and GPUs that have it, "
          "weights, moments and losses in float32 all the same");
  set.add("train.threads", threads, "CPU threads a rank; 0: the rank's share of the machine's cores",
          {.min = 0, .max = 4096}, OnResume::kMayChange);
  set.add_alias("threads", "train.threads");
}

void RunOptions::declare(config::OptionSet& set) {
  set.add("output", output, "run folder: checkpoints, metrics, report, and the finished stage in OUTPUT/stage",
          OnResume::kMayChange);
  set.require("output");
  compute.declare(set);
  set.add("reproducible", compute.reproducible,
          "the same bits on 1, 2, 4 and 8 ranks: one thread a rank, gradients of 8 micro-batches summed in one fixed tree "
          "(slower)");
  set.add("license", license, "of the model, in your words: for its lineage and card", OnResume::kMayChange);
  set.add("dry-run", dry_run, "print the plan, time and memory by a second of training, and stop", OnResume::kAction);
  set.add("restart", restart, "move an old run folder aside and start anew", OnResume::kAction);
  set.add(
      "extend", extend,
      "train a run folder, finished or not, longer than it was meant to: more --train.epochs or --train.steps, all else as "
      "before; from the step reached on, the schedule is that of the longer run",
      OnResume::kAction);
  set.add("train.seed", seed, "of weights, data order and dropout masks", {.min = 0});
  set.add_alias("seed", "train.seed");
  set.add("train.max-streams-per-pass", max_streams_per_pass,
          "most streams (or documents) a rank computes at once; more are split into micro-batches whose gradients add "
          "up; 0: all at once",
          {.min = 0}, OnResume::kMayChange);
  set.add("comm.deadline", compute.deadline,
          "seconds that a rank waits for the others, or for its GPU, before the job is ended", {.min = 1},
          OnResume::kMayChange);
  set.add(
      "checkpoint.every", checkpoint_every,
      "steps (or 10kt: thousand tokens, 0.5e: epochs) between checkpoints, besides the end of each epoch; 0: only those",
      Unit::kSteps, {.min = 0}, OnResume::kMayChange);
  set.add("checkpoint.keep", retention.newest, "newest checkpoints to keep, besides the best", {.min = 1},
          OnResume::kMayChange);
  set.add("checkpoint.keep-every", retention.every,
          "keep the checkpoints of steps that are a multiple of this for good; 0: none", {.min = 0}, OnResume::kMayChange);
  set.add("log.every", log_every, "steps (or 10kt, 0.5e) between reports", Unit::kSteps, {.min = 1}, OnResume::kMayChange);
}

void declare(config::OptionSet& set, model::Shape& shape) {
  set.add("model.embedding", shape.embedding, "width of the embedding, and of the last layer", {.min = 1, .max = 65536});
  set.add("model.hidden", shape.hidden, "width of the other LSTM layers (paper 1150, fastai 1152)",
          {.min = 1, .max = 65536});
  set.add("model.layers", shape.layers, "LSTM layers", {.min = 1, .max = 32});
}

void DropoutOptions::declare(config::OptionSet& set) {
  const config::Limits share{.min = 0, .max = kAlmostOne};
  set.add("dropout.output", rates.output,
          "share dropped from the last layer's output (classifier: from the pooled features)", share);
  set.add("dropout.hidden", rates.hidden, "share dropped between layers", share);
  set.add("dropout.input", rates.input, "share dropped after the embedding", share);
  set.add("dropout.embedding", rates.embedding, "share of word types dropped", share);
  set.add("dropout.weight", rates.weight, "share of recurrent weights dropped (DropConnect)", share);
  set.add("drop-mult", multiplier, "times all five --dropout rates", {.min = 0, .max = 10});
}

DropoutOptions classifier_dropout() {
  return {.rates = {.output = 0.4, .hidden = 0.3, .input = 0.4, .embedding = 0.05, .weight = 0.5}, .multiplier = 0.5};
}

train::ClassifierTaskOptions classifier_task() {
  train::ClassifierTaskOptions task;
  task.ar = 2;
  task.tar = 1;
  return task;
}

model::DropoutRates DropoutOptions::resolved() const {
  const model::DropoutRates scaled = rates.scaled(multiplier);
  for (const double rate : {scaled.output, scaled.hidden, scaled.input, scaled.embedding, scaled.weight}) {
    if (rate > kAlmostOne)
      throw ConfigError(str("--drop-mult=", multiplier, " makes a dropout of ", rate, "; expected below 1"));
  }
  return scaled;
}

void OptimOptions::declare(config::OptionSet& set) {
  set.add("train.epochs", epochs,
          "length of the training: passes over the text, 5 or 5e; or 200s, steps; or 10kt, thousand tokens: then the last "
          "epoch ends there",
          Unit::kEpochs, {.min = 1, .max = 1e6}, OnResume::kMayExtend);
  set.add_alias("epochs", "train.epochs");
  set.add("train.steps", max_steps,
          "end after that many steps (or 10kt, 2.5e), the schedule with them, if the epochs last as long; 0: after the "
          "epochs",
          Unit::kSteps, {.min = 0}, OnResume::kMayExtend);
  set.add("optim.lr", lr, "highest learning rate, of the last layer group", {.min = 0, .max = 1e6});
  set.add_alias("lr", "optim.lr");
  set.add(
      "optim.lr-rule", lr_rule, kLrRules,
      "how all rates follow the global batch: none; linear: times batch / --optim.lr-batch; sqrt: times its square root");
  set.add("optim.lr-batch", lr_batch, "the global batch (streams, or texts) that --optim.lr was chosen for", {.min = 0});
  set.add_value_of_older_runs("optim.lr-rule", "none");
  set.add_value_of_older_runs("optim.lr-batch", "0");
  set.add("optim.phase-lr", phase_lr, "highest rate by unfreezing phase, one value each, instead of --optim.lr in all");
  set.add("optim.factor", factor,
          "discriminative rates: each layer group trains with the next deeper one's rate divided by this (paper 2.6)",
          {.min = 1e-3, .max = 1e6});
  set.add("optim.group-factors", group_factors,
          "explicit factors of the rate by layer group, shallow to deep, such as 1/6,1/3,1,1/2");
  set.add("optim.unfreeze", unfreeze,
          "which groups train when: full, last, paper (one more each epoch), released (head, two, all), chain-thaw (each "
          "alone, then all), bottom-up, or epochs by phase: 1,1,1,3");
  set.add("optim.train-groups", train_groups,
          "train these layer groups alone, such as: rnn2 head (the plan names them); the others stay as they are");
  set.add_alias("train-groups", "optim.train-groups");
  set.add("optim.kind", optimizer.kind, optim::kOptimizerKinds, "Adam with decoupled weight decay, or plain SGD");
  set.add("optim.beta1", optimizer.beta1, "Adam's momentum where the schedule does not cycle it",
          {.min = 0, .max = kAlmostOne});
  set.add("optim.beta2", optimizer.beta2, "Adam's second moment", {.min = 0, .max = 0.99999});
  set.add("optim.eps", optimizer.eps, "Adam's epsilon", {.min = 1e-12, .max = 1});
  set.add("optim.weight-decay", optimizer.weight_decay, "not on batch norm and the decoder's bias", {.min = 0, .max = 1});
  set.add(
      "optim.nt-asgd", nt_asgd,
      "AWD-LSTM's averaged SGD: after a validation that is worse than the best before so many checks (5 there), the mean "
      "of the weights is evaluated and kept; 0: never",
      {.min = 0, .max = 1e6});
  set.add_value_of_older_runs("optim.nt-asgd", "0");
  set.add("optim.clip", clip, "highest gradient norm; 0: no clipping", {.min = 0});
  declare_schedule(set, *this);
  set.add("train.patience", patience, "early stopping: end after that many validations without improvement; 0: never",
          {.min = 0}, OnResume::kMayExtend);
  set.add("train.select", select_best, kSelections,
          "weights of the finished stage: the last ones, or those that validated best", OnResume::kBeforeFinish);
}

OptimOptions finetune_optim() {
  OptimOptions optim;
  optim.factor = 2.6;  // the paper's
  return optim;
}

OptimOptions classifier_optim() {
  OptimOptions optim = finetune_optim();
  optim.lr = 0.01;
  optim.unfreeze = "paper";
  optim.epochs.amount = 10;
  optim.clip = 25;  // the released scripts': far above ordinary norms, only outliers are cut
  return optim;
}

double OptimOptions::lr_scale(std::int64_t batch) const {
  if (lr_rule == LrRule::kNone) return 1;
  if (lr_batch < 1) {
    throw ConfigError(str("--optim.lr-rule=", name_in(kLrRules, lr_rule),
                          " needs --optim.lr-batch: the global batch that --optim.lr was chosen for"));
  }
  const double ratio = static_cast<double>(batch) / static_cast<double>(lr_batch);
  return lr_rule == LrRule::kLinear ? ratio : std::sqrt(ratio);
}

void require_unfreeze_plan(const std::string& text) {
  const bool named = text.find_first_of("0123456789,") == text.npos;
  const std::vector<std::string> names(std::begin(optim::kUnfreezePlans), std::end(optim::kUnfreezePlans));
  if (!named || std::find(names.begin(), names.end(), text) != names.end()) return;
  std::string list;
  for (const std::string& name : names) list += name + ", ";
  throw ConfigError(str("--optim.unfreeze=", text, ": there is no such plan (did you mean ", config::nearest(text, names),
                        "?); expected ", list, "or epochs by phase such as 1,1,1,3"));
}

train::PlanOptions OptimOptions::plan(const train::Task& task, std::int64_t batch) const {
  const std::size_t groups = task.groups().size();
  train::PlanOptions plan;
  plan.max_steps = steps_of(max_steps, task);
  std::int64_t whole_epochs = std::llround(epochs.amount);
  if (epochs.unit != Unit::kEpochs) {
    const std::int64_t end = steps_of(epochs, task);
    whole_epochs = epochs_holding(end, task);
    plan.max_steps = plan.max_steps == 0 ? end : std::min(plan.max_steps, end);
  }
  require_unfreeze_plan(unfreeze);
  plan.phases = optim::parse_unfreeze_plan(unfreeze, groups, whole_epochs);
  if (!train_groups.empty()) {
    std::vector<std::string> names;
    for (const auto& group : task.groups()) names.push_back(group.name);
    require_groups(train_groups, names);
    plan.phases = optim::restricted(std::move(plan.phases), names, train_groups);
  }
  plan.schedule = schedule;
  plan.one_schedule = one_schedule;
  const double scale = lr_scale(batch);
  plan.lr = lr * scale;
  plan.group_factors =
      group_factors.empty() ? optim::discriminative_factors(groups, factor) : optim::parse_factors(group_factors, groups);
  for (const auto& text : phase_lr) plan.phase_lr.push_back(scale * number_of("optim.phase-lr", text));
  for (const auto& text : phase_cut) plan.phase_cut.push_back(number_of("schedule.phase-cut-frac", text));
  return plan;
}

void declare(config::OptionSet& set, train::LmTaskOptions& task) {
  set.add("train.streams", task.streams.streams, "streams of the global batch (batch size); the ranks divide them",
          {.min = 1, .max = 1 << 24});
  set.add_alias("batch-size", "train.streams");
  set.add("train.bptt", task.streams.bptt, "tokens of a window", {.min = 1, .max = 100000});
  set.add("train.variable-bptt", task.streams.variable_bptt,
          "draw each window's length around --train.bptt, as AWD-LSTM does, in steps of 5, up to 20 tokens more");
  set.add("train.scale-lr-by-bptt", task.scale_lr_by_bptt, "learning rate times drawn length / --train.bptt (AWD-LSTM)");
  set.add(
      "train.cuda-graph", task.cuda_graph,
      "on a GPU, record a step once for each length of window and start it whole; takes memory, and ranks sum only when "
      "it has ended (not measured yet)",
      config::OnResume::kMayChange);
  set.add("optim.ar", task.ar, "activation regularisation alpha", {.min = 0});
  set.add("optim.tar", task.tar, "temporal activation regularisation beta", {.min = 0});
}

void declare(config::OptionSet& set, model::Bpt3cOptions& bpt3c) {
  set.add("bpt3c.window", bpt3c.window, "tokens of a window", {.min = 1, .max = 100000});
  set.add("bpt3c.length", bpt3c.length, "tokens from the end of a document that gradients reach", {.min = 1, .max = 1e9});
  set.add("bpt3c.detach", bpt3c.detach, kDetachments, "cut the state's gradient between windows, or let it flow");
  set.add("bpt3c.masks", bpt3c.window_masks, kMasks,
          "draw dropout masks anew in each window (but the recurrent weights'), or once for a document");
  set.add("bpt3c.pool", bpt3c.pool_all, kPools, "pool over the whole document, or over its last bpt3c.length tokens");
}

}  // namespace ulmfit::stages
