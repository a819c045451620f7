#include "stages/stage_run.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/hash.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/stop_signal.h"
#include "comm/grad_reducer.h"
#include "comm/launch.h"
#include "comm/rank_cores.h"
#include "comm/world_check.h"
#include "model/gpu_kernels.h"
#include "reports/metrics.h"
#include "reports/number_format.h"
#include "stages/compute.h"
#include "stages/dry_run.h"
#include "stages/run_folder.h"
#include "stages/run_identity.h"
#include "stages/run_length.h"
#include "stages/run_observer.h"
#include "train/checkpoint_store.h"
#include "train/finite.h"
#include "train/nt_asgd.h"
#include "train/trainer.h"

namespace ulmfit::stages {
namespace {

std::int64_t parameter_count(const train::Task& task) {
  std::int64_t count = 0;
  for (const auto& group : task.groups()) {
    for (const auto& p : group.parameters) count += p.tensor.numel();
  }
  return count;
}

std::string shapes(const train::Task& task) {
  std::string text;
  for (const auto& group : task.groups()) {
    for (const auto& p : group.parameters) {
      text += p.name;
      for (const auto n : p.tensor.sizes()) text += " " + std::to_string(n);
      text += '\n';
    }
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> plan_summary(const TrainingStage& stage, const train::TrainingPlan& plan,
                                                              const comm::Communicator& comm) {
  auto summary = stage.summary;
  const std::int64_t parameters = parameter_count(stage.task());
  summary.emplace_back("parameters", str(parameters, " (", parameters * 16 / 1000000, " MB with gradients and moments)"));
  summary.emplace_back("memory", str("at least ", std::llround(stage.bytes / 1e6), " MB a rank"));
  if (stage.optim.lr_rule != LrRule::kNone) {
    summary.emplace_back("learning rates",
                         str("times ", stage.optim.lr_scale(stage.batch_size), " (", name_in(kLrRules, stage.optim.lr_rule),
                             ": a batch of ", stage.batch_size, " for one of ", stage.optim.lr_batch, ")"));
  }
  summary.emplace_back("steps", str(plan.total_steps(), " in ", plan.epochs(), plan.epochs() == 1 ? " epoch" : " epochs"));
  summary.emplace_back("ranks", describe_compute(comm));
  summary.emplace_back("precision",
                       std::string(name_in(kArithmetics, arithmetic_on(comm.device(), stage.run.compute.precision))));
  summary.emplace_back(
      "mode",
      str(stage.run.compute.reproducible ? "reproducible: the same bits on 1, 2, 4, 8 ranks" : "normal", ", ",
          stage.micro_batches.total, stage.micro_batches.total == 1 ? " micro-batch a step" : " micro-batches a step"));
  return summary;
}

void log_plan(const TrainingStage& stage, const train::TrainingPlan& plan,
              const std::vector<std::pair<std::string, std::string>>& summary) {
  log::info(stage.title, "plan:");
  for (const auto& [name, value] : summary) log::info(stage.title, str("  ", name, ": ", value));
  for (const auto& line : plan.describe(stage.task().groups())) log::info(stage.title, "  " + line);
  if (!stage.run.dry_run) log::info(stage.title, "  (--dry-run measures time and peak memory)");
}

// Settings that train, but little. The figures are rules of thumb: the first steps of a phase only warm its rate up, and a
// GPU computes 32 streams in the time of one, and waits for what fewer than four cores prepare.
void warn_of_settings(const TrainingStage& stage, const train::TrainingPlan& plan, const comm::Communicator& comm,
                      int cores) {
  constexpr std::int64_t kFewestSteps = 20, kFewestStreams = 32;
  constexpr int kFewestCores = 4;
  const bool as_asked = stage.settings.given("train.steps");  // who names the number of steps knows it
  std::size_t shortest = 0;
  const auto steps = [&](std::size_t phase) { return plan.first_step(phase + 1) - plan.first_step(phase); };
  for (std::size_t phase = 1; phase < plan.phases(); ++phase) {
    if (steps(phase) < steps(shortest)) shortest = phase;
  }
  if (!as_asked && steps(shortest) < kFewestSteps) {
    log::warn(stage.title,
              str("phase ", shortest + 1, " has ", steps(shortest), " steps, and fewer than ", kFewestSteps,
                  " change little: give a smaller ", stage.batch_option, " (now ", stage.batch_size, "), more epochs",
                  plan.phases() > 1 ? ", or train all layers at once (--optim.unfreeze full)" : ""));
  }
  const std::int64_t of_a_rank = stage.batch_size / comm.size();
  if (!comm.device().is_cpu() && of_a_rank < kFewestStreams) {
    log::warn(stage.title,
              str("each GPU computes ", of_a_rank, " of the ", stage.batch_size, " of ", stage.batch_option,
                  ", and is busy from ", kFewestStreams, " on: give ", kFewestStreams * comm.size(), " or more",
                  stage.batch_option == "--train.streams" ? str(" (--train.streams-per-rank ", kFewestStreams, ")") : "",
                  ", or take fewer ranks"));
  }
  if (!comm.device().is_cpu() && cores < kFewestCores) {
    log::warn(stage.title,
              str("each GPU's rank has ", cores, " CPU cores, which read the text and start its kernels: give ",
                  kFewestCores, " or more (Slurm: --cpus-per-task; mpirun: --bind-to none)"));
  }
  // Of mpirun, the parent: under Slurm the parent may have the whole machine, and the job a part.
  const bool by_mpirun = comm::read_launch_environment().variable.starts_with("OMPI_");
  const std::size_t of_launcher = by_mpirun ? cores_allowed(::getppid()).size() : 0;
  const bool takes_all = stage.run.compute.threads == 0 && !stage.run.compute.reproducible;
  if (comm.device().is_cpu() && takes_all && comm::leaves_cores(cores, comm.local_size(), of_launcher)) {
    log::warn(stage.title, str("the launcher has bound each of the ", comm.local_size(), " ranks here to ", cores,
                               cores == 1 ? " core" : " cores", ", and leaves the rest of ", of_launcher,
                               " idle: give all to them (mpirun --bind-to none)"));
  }
  for (const std::string& doubt : stage.doubts) log::warn(stage.title, doubt);
}

// On CPUs, where the ranks of a machine share its memory, and the kernel would end them without a word. The weights are
// there already.
void warn_of_memory(const TrainingStage& stage, const comm::Communicator& comm) {
  if (!comm.device().is_cpu()) return;
  const double needed = stage.bytes - 4.0 * static_cast<double>(parameter_count(stage.task()));
  const auto warn = [&](double bytes, std::uint64_t available, const char* whose) {
    if (bytes <= static_cast<double>(available)) return;
    log::warn(stage.title, str(whose, " needs at least ", std::llround(bytes / 1e6), " MB more, and ",
                               std::llround(static_cast<double>(available) / 1e6),
                               " MB are free: lower --train.streams or --batch-size, or --train.max-streams-per-pass"));
  };
  warn(needed, available_address_space_bytes(), "a rank");
  warn(needed * comm.local_size(), available_memory_bytes(), "this machine");
}

// Puts the weights of the best validation back, on all ranks.
void select_best(const TrainingStage& stage, const train::Trainer& trainer, train::CheckpointStore* store,
                 comm::Communicator& comm) {
  if (!stage.optim.select_best || trainer.best_step() < 0 || trainer.best_step() == trainer.step()) return;
  at::NoGradGuard no_grad;
  std::optional<train::Snapshot> best;
  if (store != nullptr) best = store->best(trainer.best_step());
  if (!comm.broadcast_flag(best.has_value(), 0)) {
    log::warn(stage.title,
              str("the weights of step ", trainer.best_step(),
                  ", which validated best, can't be read, nor are any that did before; the last ones are taken"));
    return;
  }
  std::size_t i = 0;
  for (auto [name, tensor] : stage.task().model_tensors()) {
    if (best) tensor.copy_(best->model.at(i++).second);
    comm.broadcast(tensor, 0);
  }
  if (best && best->step != trainer.best_step()) {
    log::warn(stage.title, str("weights of step ", best->step, " selected: those of step ", trainer.best_step(),
                               ", which validated better, can't be read"));
  } else if (best) {
    const bool early = 2 * best->step < trainer.step();
    log::info(stage.title, str("weights of step ", best->step, " of ", trainer.step(), " selected: they validated best",
                               early ? "; so early the rate is high yet: fewer epochs may do better, in less time" : ""));
  }
}

// Where the last weights are kept and earlier ones validated better. Rank 0.
void tell_of_better_weights(const TrainingStage& stage, const train::Trainer& trainer, const train::Evaluation& last,
                            const RunFolder& folder) {
  if (stage.optim.select_best || trainer.best_step() < 0 || trainer.best_step() == trainer.step()) return;
  const reports::MetricNames names = stage.task().metric_names();
  constexpr double kFewTexts = 100;
  const auto texts = last.values.find("documents");
  const std::string few = texts != last.values.end() && texts->second < kFewTexts
                              ? str(", if ", texts->second, " texts can tell which those are")
                              : "";
  for (const reports::EvaluationReport& report : reports::read_metrics(folder.path() / "metrics.jsonl", names).valid) {
    if (report.step != trainer.best_step()) continue;
    log::info(stage.title,
              str("validation was best at epoch ", reports::fixed(report.epoch, 2), " (", names.headline, " ",
                  reports::headline_text(names, report.values), ", loss ",
                  reports::significant(report.values.at("loss"), 4), "); at the end ", names.headline, " is ",
                  reports::headline_text(names, last.values), ", loss ", reports::significant(last.values.at("loss"), 4),
                  "; a run with --train.select=best keeps the weights of then", few));
    return;
  }
}

// Makes the run folder that of the longer run, and says what becomes of the learning rate. Rank 0.
void extend(const TrainingStage& stage, const train::TrainingPlan& plan, const std::optional<train::Snapshot>& snapshot,
            RunFolder& folder) {
  using Unit = config::Length::Unit;
  if (!snapshot && RunFolder::finished(folder.path())) {
    throw CheckpointError(str("--extend: the run in ", folder.path().string(),
                              " has finished and its checkpoints are gone, so that it cannot go on; train longer from its "
                              "weights: finetune-lm, or another --output"));
  }
  const std::int64_t step = snapshot ? snapshot->step : 0;
  OptimOptions before = stage.optim;
  for (const auto& change : folder.changes()) {
    if (change.key == "train.epochs") before.epochs = config::parse_length(change.before, Unit::kEpochs);
    if (change.key == "train.steps") before.max_steps = config::parse_length(change.before, Unit::kSteps);
    if (change.key == "train.patience") before.patience = std::stoll(change.before);
  }
  if (snapshot && train::early_stopped(*snapshot, stage.optim.patience)) {
    throw ConfigError(str("--extend: early stopping has ended the run in ", folder.path().string(), " at step ", step,
                          ", and would end it again; give a larger --train.patience, or 0"));
  }
  const train::TrainingPlan old(before.plan(stage.task(), stage.batch_size), stage.task());
  const std::int64_t end = snapshot && train::early_stopped(*snapshot, before.patience) ? step : old.total_steps();
  if (plan.total_steps() <= end) {
    throw ConfigError(str("--extend trains longer, but the run in ", folder.path().string(), " has ", end,
                          " steps and would now have ", plan.total_steps(), "; give more --train.epochs or --train.steps"));
  }
  folder.extend(stage.settings);
  log::info(stage.title, str("extended from ", end, " to ", plan.total_steps(), " steps"));
  if (step == 0) return;
  const auto highest = [](const train::StepRates& rates) {
    return *std::max_element(rates.lr_by_group.begin(), rates.lr_by_group.end());
  };
  log::info(stage.title,
            str("from step ", step, " on the schedule is that of the longer run: the highest learning rate goes from ",
                highest(old.rates(step - 1)), " to ", highest(plan.rates(step))));
}

void leave_after_signal(const TrainingStage& stage, std::int64_t step, const RunFolder& folder,
                        train::CheckpointStore* store, comm::Communicator& comm) {
  comm.barrier();
  if (store != nullptr && !store->finish()) {  // not code 75: a job that requeues itself would go on so for ever
    throw CheckpointError(str("stopped on a signal at step ", step,
                              ", which could not be saved (see the warning above); when that is mended, the same command "
                              "goes on from the newest checkpoint in ",
                              folder.path().string()));
  }
  if (comm.rank() == 0) tell_job_script_of_stop(str("step ", step, " of ", folder.path().string()));
  log::info(stage.title, str("stopped on a signal at step ", step, " after saving; run the same command again",
                             stage.run.restart ? ", without --restart," : "", " to go on"));
}

// Selects the weights, validates them and writes the stage. `store` and `observer` are null on ranks other than 0.
StageResult finish(const TrainingStage& stage, train::Trainer& trainer, const RunFolder& folder,
                   train::CheckpointStore* store, RunObserver* observer, comm::Communicator& comm) {
  trainer.keep_averages();
  select_best(stage, trainer, store, comm);
  train::require_finite(stage.task().model_tensors(), trainer.step());
  StageResult result;
  result.run_folder = folder.path();
  result.evaluation = stage.task().validate_finished();
  train::require_finite(result.evaluation, trainer.step());
  result.seconds = trainer.elapsed_seconds();
  result.items = trainer.items();
  result.steps = trainer.step();
  result.names = stage.task().metric_names();
  if (comm.rank() == 0) {
    stage.write(result);
    tell_of_better_weights(stage, trainer, result.evaluation, folder);
  }
  if (observer != nullptr) observer->write_report(result.evaluation.classification, result.evaluation.multilabel);
  comm.barrier();
  return result;
}

// What the options say is kept in place of the weights.
std::unique_ptr<train::WeightAverage> average_of(const TrainingStage& stage) {
  if (stage.optim.nt_asgd == 0) return nullptr;
  interop::NamedTensors weights;
  for (const auto& group : stage.task().groups()) {
    for (const auto& parameter : group.parameters) weights.emplace_back(parameter.name, parameter.tensor.detach());
  }
  return std::make_unique<train::NtAsgd>(std::move(weights), stage.optim.nt_asgd);
}

}  // namespace

train::TrainerOptions trainer_options(const TrainingStage& stage) {
  train::TrainerOptions options;
  options.clip = stage.optim.clip;
  options.log_every = steps_of(stage.run.log_every, stage.task());
  options.checkpoint_every = steps_of(stage.run.checkpoint_every, stage.task());
  options.patience = stage.optim.patience;
  return options;
}

std::string TrainingStage::shown_config() const {
  std::string config = settings.to_config();
  const std::size_t begin = config.find("\n[model]\n");
  if (!shape_of_parent || begin == config.npos) return config;
  return config.erase(begin, config.find("\n[", begin + 1) - begin);
}

void check_world(const TrainingStage& stage, comm::Communicator& comm) {
  if (comm.size() == 1) return;
  comm::Facts facts = stage.inputs;
  facts.emplace_back("program", file_fingerprint("/proc/self/exe"));
  facts.emplace_back("configuration", stage.settings.to_config());
  facts.emplace_back("parameter shapes", shapes(stage.task()));
  if (comm.device().is_cpu()) {
    facts.emplace_back("libtorch", at::show_config());  // with its kernels' libraries and the CPU's vector instructions
    facts.emplace_back("threads", std::to_string(at::get_num_threads()));
    facts.emplace_back("CPU", cpu_model());
  } else {  // what their CPUs are is all the same
    facts.emplace_back("libtorch", TORCH_VERSION);
    facts.emplace_back("GPU", comm.processor());
    facts.emplace_back("GPU kernels", model::kernels_on(comm.device()) != nullptr ? "ulmfit's" : "libtorch's");
  }
  comm::world_check(comm, facts);
}

Engine::Engine(const TrainingStage& stage, const train::TrainingPlan& plan, comm::Communicator& comm,
               train::CheckpointStore* store, train::Observer* observer, const train::TrainerOptions& options)
    : optimizer(stage.task().groups(), stage.optim.optimizer),
      reducer(comm, stage.task().reduced_parameters()),
      average(average_of(stage)),
      trainer(stage.task(), plan, optimizer, reducer, comm, store, observer, options, average.get()) {
  if (stage.run.compute.reproducible) reducer.use_fixed_tree(static_cast<int>(stage.micro_batches.total));
}

StageResult run_stage(const TrainingStage& stage, comm::Communicator& comm) {
  const train::TrainingPlan plan(stage.optim.plan(stage.task(), stage.batch_size), stage.task());
  const auto summary = plan_summary(stage, plan, comm);
  log_plan(stage, plan, summary);
  const int cores = comm::cores_of_rank(comm);
  if (comm.rank() == 0) {
    warn_of_settings(stage, plan, comm, cores);
    warn_of_memory(stage, comm);
  }
  check_world(stage, comm);
  if (stage.run.dry_run) return measure_dry_run(stage, plan, comm);

  RunFolder folder(stage.run, stage.settings, stage.inputs, comm);
  std::unique_ptr<train::CheckpointStore> store;
  std::unique_ptr<RunObserver> observer;
  std::optional<train::Snapshot> snapshot;
  if (comm.rank() == 0) {
    store = std::make_unique<train::CheckpointStore>(folder.checkpoints(), stage.run.retention);
    snapshot = store->latest();
    if (!snapshot && store->holds_any()) {
      throw CheckpointError(str("cannot go on: none of the checkpoints in ", folder.checkpoints().string(),
                                " can be used (see the warnings above), and nothing was changed; if the file system will "
                                "give them again, start again then; else --restart begins anew"));
    }
    if (snapshot) log::info(stage.title, str("continuing from the checkpoint of step ", snapshot->step));
    RunIdentity(folder.path())
        .check_machine(run_machine(comm, stage.run.compute.precision), snapshot.has_value(),
                       stage.run.compute.reproducible);
    if (!folder.changes().empty()) extend(stage, plan, snapshot, folder);
    observer =
        std::make_unique<RunObserver>(folder.path(), stage.title, stage.task().metric_names(), plan.total_steps(), summary,
                                      stage.shown_config(), snapshot ? snapshot->state.at("observer") : nlohmann::json());
  }
  Engine engine(stage, plan, comm, store.get(), observer.get(), trainer_options(stage));
  train::Trainer& trainer = engine.trainer;
  trainer.restore(snapshot);
  snapshot.reset();

  const std::int64_t first_step = trainer.step();
  const train::StopReason reason = trainer.run();
  if (reason == train::StopReason::kEarlyStopped && trainer.step() == first_step) {
    log::info(stage.title, "early stopping has ended this run: it does not go on");
  }
  if (reason == train::StopReason::kSignalled) {
    leave_after_signal(stage, trainer.step(), folder, store.get(), comm);
    return StageEnd::kStopped;
  }
  return finish(stage, trainer, folder, store.get(), observer.get(), comm);
}

nlohmann::json to_json(const StageResult& result, const std::string& command) {
  nlohmann::json line = {{"stage", command},
                         {"output", result.run_folder.string()},
                         {"steps", result.steps},
                         {"seconds", result.seconds},
                         {std::string(result.names.rate), result.items / std::max(result.seconds, 1e-9)}};
  for (const auto& [name, value] : result.evaluation.values) line["valid_" + name] = value;
  return line;
}

}  // namespace ulmfit::stages
