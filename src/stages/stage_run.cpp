#include "stages/stage_run.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <memory>

#include "base/log.h"
#include "base/machine.h"
#include "comm/grad_reducer.h"
#include "comm/world_check.h"
#include "stages/compute.h"
#include "stages/run_folder.h"
#include "stages/run_observer.h"
#include "train/checkpoint_store.h"
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

std::vector<std::pair<std::string, std::string>> plan_facts(const StageRun& stage, const train::TrainingPlan& plan,
                                                            const comm::Communicator& comm) {
  auto facts = stage.facts;
  const std::int64_t parameters = parameter_count(stage.task);
  facts.emplace_back("parameters", str(parameters, " (", parameters * 16 / 1000000, " MB with gradients and moments)"));
  facts.emplace_back("steps", str(plan.total_steps(), " in ", plan.epochs(), plan.epochs() == 1 ? " epoch" : " epochs"));
  facts.emplace_back("ranks", describe_compute(comm));
  facts.emplace_back("mode", str(stage.run.reproducible ? "reproducible: the same bits on 1, 2, 4, 8 ranks" : "normal",
                                 ", ", stage.shards.count, stage.shards.count == 1 ? " pass a step" : " passes a step"));
  return facts;
}

void log_plan(const StageRun& stage, const train::TrainingPlan& plan,
              const std::vector<std::pair<std::string, std::string>>& facts) {
  log::info(stage.title, "plan:");
  for (const auto& [name, value] : facts) log::info(stage.title, str("  ", name, ": ", value));
  for (const auto& line : plan.describe(stage.task.groups())) log::info(stage.title, "  " + line);
}

void check_world(const StageRun& stage, comm::Communicator& comm) {
  comm::Facts facts = stage.world;
  facts.emplace_back("configuration", stage.set.to_config());
  facts.emplace_back("parameter shapes", shapes(stage.task));
  facts.emplace_back("threads", std::to_string(at::get_num_threads()));
  facts.emplace_back("CPU", cpu_model());
  comm::world_check(comm, facts);
}

// Puts the weights of the best validation back, on all ranks.
void select_best(const StageRun& stage, const train::Trainer& trainer, train::CheckpointStore* store,
                 comm::Communicator& comm) {
  if (stage.optim.select != "best" || trainer.best_step() < 0 || trainer.best_step() == trainer.step()) return;
  at::NoGradGuard no_grad;
  interop::NamedTensors best;
  if (store != nullptr) best = store->load(trainer.best_step()).model;
  std::size_t i = 0;
  for (auto [name, tensor] : stage.task.model_tensors()) {
    if (store != nullptr) tensor.copy_(best.at(i++).second);
    comm.broadcast(tensor, 0);
  }
  log::info(stage.title, str("weights of step ", trainer.best_step(), " selected: they validated best"));
}

}  // namespace

ExitCode run_stage(const StageRun& stage, comm::Communicator& comm,
                   const std::function<void(const StageResult&, const fs::path&)>& finish) {
  const train::TrainingPlan plan(stage.optim.plan(stage.task.groups().size()), stage.task);
  const auto facts = plan_facts(stage, plan, comm);
  log_plan(stage, plan, facts);
  check_world(stage, comm);
  if (stage.run.dry_run) return ExitCode::kDone;

  const RunFolder folder(stage.run.output, stage.set, stage.run.restart, comm);
  std::unique_ptr<train::CheckpointStore> store;
  std::unique_ptr<RunObserver> observer;
  std::optional<train::Snapshot> snapshot;
  if (comm.rank() == 0) {
    log::add_file(folder.path() / "log.txt");
    store = std::make_unique<train::CheckpointStore>(folder.checkpoints(), stage.run.retention);
    snapshot = store->latest();
    if (snapshot) log::info(stage.title, str("continuing from the checkpoint of step ", snapshot->step));
    observer = std::make_unique<RunObserver>(folder.path(), stage.title, plan.total_steps(), facts, stage.set.to_config(),
                                             snapshot ? snapshot->state.at("observer") : nlohmann::json());
  }
  optim::Optimizer optimizer(stage.task.groups(), stage.optim.optimizer());
  std::vector<comm::ReducedParameter> reduced;
  for (const auto& p : stage.reduced) reduced.push_back({p.name, p.tensor});
  comm::GradReducer reducer(comm, reduced);
  if (stage.run.reproducible) reducer.use_fixed_tree(static_cast<int>(stage.shards.total));
  train::TrainerOptions options;
  options.clip = stage.optim.clip;
  options.log_every = stage.run.log_every;
  options.checkpoint_every = stage.run.checkpoint_every;
  options.patience = stage.optim.patience;
  train::Trainer trainer(stage.task, plan, optimizer, reducer, stage.reduced, comm, store.get(), observer.get(), options);
  trainer.restore(snapshot);
  snapshot.reset();

  if (trainer.run() == train::StopReason::kSignalled) {
    comm.barrier();
    log::info(stage.title,
              str("stopped on a signal at step ", trainer.step(), " after saving; run the same command again to go on"));
    return ExitCode::kStopped;
  }
  select_best(stage, trainer, store.get(), comm);
  StageResult result;
  result.evaluation = stage.task.validate();
  result.seconds = trainer.elapsed_seconds();
  result.items = trainer.items();
  result.steps = trainer.step();
  finish(result, folder.path());
  if (observer) observer->write_report();
  comm.barrier();
  return ExitCode::kDone;
}

}  // namespace ulmfit::stages
