#include "train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "base/activity.h"
#include "base/error.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/stop_signal.h"
#include "base/stopwatch.h"
#include "optim/gradient_norm.h"
#include "train/finite.h"
#include "train/state_hash.h"

namespace ulmfit::train {
namespace {

// Exchanges the values of the averages and of the model's tensors: done twice, all is as it was.
void swap_values(const interop::NamedTensors& model, const interop::NamedTensors& averages) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, average] : averages) {
    const at::Tensor* tensor = interop::find_tensor(model, name);
    if (tensor == nullptr) throw std::logic_error(str("WeightAverage: the model has no ", name));
    const at::Tensor before = tensor->clone();
    tensor->copy_(average);
    average.copy_(before);
  }
}

}  // namespace

Trainer::Trainer(Task& task, const TrainingPlan& plan, optim::Optimizer& optimizer, comm::GradReducer& reducer,
                 comm::Communicator& comm, CheckpointStore* store, Observer* observer, TrainerOptions options,
                 WeightAverage* average)
    : task_(task),
      plan_(plan),
      optimizer_(optimizer),
      reducer_(reducer),
      comm_(comm),
      store_(store),
      observer_(observer),
      options_(options),
      average_(average),
      figures_(comm),
      early_stopping_(options.patience),
      divergence_guard_(options.max_skipped) {
  for (const auto& group : task.groups()) {
    for (const auto& p : group.parameters) {
      const auto& reduced = reducer.parameters();
      const bool summed = std::any_of(reduced.begin(), reduced.end(), [&](const auto& r) { return r.name == p.name; });
      if (!summed) own_.push_back(p.tensor);
    }
  }
}

StopReason Trainer::run(std::int64_t until) {
  const std::int64_t end = std::min(until, plan_.total_steps());
  clock_.start();
  compare_ranks();
  if (counters_.step < end && !early_stopping_.stops()) {
    const Snapshot like = snapshot();
    if (store_ != nullptr) store_->prepare(like);
    task_.seek(plan_.position(counters_.step));
  }
  while (counters_.step < end && !stop_agreed_ && !early_stopping_.stops()) {
    const std::int64_t step = counters_.step;
    train_step();
    const bool epoch_over = plan_.ends_epoch(step);
    const bool due = options_.checkpoint_every > 0 && counters_.step % options_.checkpoint_every == 0;
    const bool compares = counters_.step % kStepsBetweenComparisons == 0;
    if (due || epoch_over || compares || stop_agreed_ || counters_.step == end)
      take_figures_but(0);  // may bring a wish to stop
    const bool saves = due || epoch_over || stop_agreed_;
    if (saves || compares) compare_ranks();
    if (epoch_over && options_.validates) validate();
    if (saves) save();
    memory_trimmer_.after_step();
  }
  if (store_ != nullptr) store_->finish();
  if (stop_agreed_ && counters_.step < plan_.total_steps()) return StopReason::kSignalled;
  return early_stopping_.stops() ? StopReason::kEarlyStopped : StopReason::kFinished;
}

void Trainer::train_step() {
  const std::int64_t step = counters_.step;
  const CurrentStep current(step);
  rates_ = plan_.rates(step);
  const double scale = task_.lr_scale(plan_.position(step));
  for (double& lr : rates_.lr_by_group) lr *= scale;

  // Every rank has the same sums, so that all come to the same decision.
  const at::Tensor figures = forward_backward();
  const std::vector<at::Tensor> gradients = optim::gradients(optimizer_.groups());
  figures.select(0, kNorm).copy_(optim::global_norm(gradients));
  figures_.add(step, figures);
  if (figures.is_cpu()) {
    update_by_host(gradients);
  } else {
    update_by_device(figures);
  }
  if (average_ != nullptr) average_->after_step(step);
  ++counters_.step;
  if (counters_.step % options_.log_every == 0 || counters_.step == plan_.total_steps()) {
    take_figures_but(0);
    report();
  }
}

void Trainer::update_by_host(const std::vector<at::Tensor>& gradients) {
  if (take_figures()) {
    if (options_.clip > 0) optim::clip_(gradients, norm_, options_.clip);
    optimizer_.step(rates_.lr_by_group, rates_.beta1);
  } else {
    task_.discard_step_unless(at::scalar_tensor(false, at::kBool));
  }
}

// The same decision, queued on the device; clipping divides there, and may round otherwise. The host hears of it one step
// later, so that the GPU has that step to compute meanwhile; DivergedError and a wish to stop come as late.
void Trainer::update_by_device(const at::Tensor& figures) {
  const at::NoGradGuard no_grad;
  const at::Tensor norm = figures.select(0, kNorm);
  const at::Tensor admitted = at::isfinite(norm).logical_and_(at::isfinite(figures.select(0, kNats)));
  optim::UpdateGate gate{{}, admitted.logical_not().to(at::kFloat)};
  if (options_.clip > 0) gate.divisor = (norm / options_.clip).clamp_min_(1).to(at::kFloat);
  optimizer_.step(rates_.lr_by_group, rates_.beta1, &gate);
  task_.discard_step_unless(admitted);
  take_figures_but(1);
}

// Of the oldest step that was not read. Whether its update was to be made.
bool Trainer::take_figures() {
  const StepFigures figures = figures_.take();
  stop_agreed_ = stop_agreed_ || figures.stop;
  norm_ = figures.norm;
  counters_.items += figures.totals.items;
  report_items_ += figures.totals.items;
  if (!divergence_guard_.admits(figures.step, figures.norm, figures.totals.nats)) return false;
  counters_.report_nats += figures.totals.nats;
  counters_.report_targets += figures.totals.targets;
  return true;
}

// Until so many are left unread. Updates by the host wait for their figures: these are of updates by the device.
void Trainer::take_figures_but(std::size_t left) {
  while (figures_.size() > left) {
    if (!take_figures()) optimizer_.take_back_count();
  }
}

// Returns figures_of_rank(), summed over ranks.
at::Tensor Trainer::forward_backward() {
  const std::int64_t step = counters_.step;
  if (plan_.phase(step) != current_phase_) enter_phase(plan_.phase(step));
  zero_gradients();
  const StepSums mine = task_.accumulate_gradients(plan_.position(step), reducer_);
  at::Tensor figures = figures_of_rank(mine, stop_requested(), comm_.device());
  reducer_.reduce(&figures);
  return figures;
}

StepTotals Trainer::compute_gradients() {
  task_.seek(plan_.position(counters_.step));
  figures_.add(counters_.step, forward_backward());
  const StepFigures figures = figures_.take();
  stop_agreed_ = stop_agreed_ || figures.stop;
  return figures.totals;
}

void Trainer::enter_phase(std::size_t phase) {
  take_figures_but(0);
  current_phase_ = phase;
  optimizer_.set_trainable(plan_.trainable(phase));
  std::vector<bool> trainable;
  for (const auto& p : reducer_.parameters()) trainable.push_back(p.tensor.requires_grad());
  reducer_.set_trainable(trainable);
}

void Trainer::zero_gradients() {
  reducer_.zero();
  for (const auto& tensor : own_) tensor.mutable_grad().reset();
}

void Trainer::report() {
  const double seconds = clock_.lap();
  const double wait = task_.data_wait_seconds();
  const double in_comm = communication_seconds();
  if (observer_ != nullptr) {
    reports::StepReport r;
    r.step = counters_.step;
    r.total_steps = plan_.total_steps();
    r.epoch = plan_.epoch_fraction(counters_.step);
    r.phase = static_cast<std::int64_t>(current_phase_);
    r.loss = counters_.report_nats / counters_.report_targets;
    r.lr = rates_.lr_by_group;
    for (const auto& group : task_.groups()) r.groups.push_back(group.name);
    r.beta1 = rates_.beta1.value_or(std::nan(""));
    r.grad_norm = norm_;
    r.rate = report_items_ / seconds;
    r.names = task_.metric_names();
    r.data_wait_share = (wait - report_wait_start_) / seconds;
    r.comm_share = (in_comm - report_comm_start_) / seconds;
    r.memory_bytes = resident_bytes();
    r.skipped_steps = divergence_guard_.skipped();
    r.elapsed_seconds = elapsed_seconds();
    observer_->on_step_report(r);
  }
  report_wait_start_ = wait;
  report_comm_start_ = in_comm;
  report_items_ = 0;
  counters_.report_nats = 0;
  counters_.report_targets = 0;
}

// A bit that flipped in one rank's memory would stay there: sums bring alike gradients to all, not alike weights.
void Trainer::compare_ranks() {
  if (comm_.size() == 1) return;
  const Activity activity("comparison of the ranks");
  const ScopedTimer timer(comm_seconds_);
  interop::NamedTensors state = task_.model_tensors();
  const optim::OptimizerState optimizer = optimizer_.state();
  state.insert(state.end(), optimizer.moments.begin(), optimizer.moments.end());
  for (const auto& [name, average] : averages()) state.emplace_back("average of " + name, average);
  if (average_ != nullptr) {
    const std::string record = average_->save().dump();
    const std::vector<std::int64_t> letters(record.begin(), record.end());
    state.emplace_back("record of the average", at::tensor(letters, at::kLong));
  }
  state.emplace_back("optimizer steps", at::tensor(optimizer.steps, at::kLong));
  state.emplace_back("learning rates", at::tensor(rates_.lr_by_group, at::kDouble));
  comm::state_agreement(comm_, state_hashes(state), counters_.step);
}

void Trainer::validate() {
  const Activity activity("validation");
  const ScopedTimer pause = clock_.pause();
  const double in_comm = communication_seconds();
  const interop::NamedTensors model = task_.model_tensors();
  swap_values(model, averages());
  const Evaluation evaluation = task_.validate();
  swap_values(model, averages());
  report_comm_start_ += communication_seconds() - in_comm;
  if (evaluation.values.empty()) return;
  require_finite(evaluation, counters_.step);
  if (observer_ != nullptr) {
    observer_->on_evaluation({counters_.step, plan_.epoch_fraction(counters_.step), "valid", evaluation.values,
                              evaluation.classification, evaluation.multilabel});
  }
  early_stopping_.add(evaluation.score, counters_.step);
  if (average_ != nullptr) average_->after_validation(evaluation.score);
  if (early_stopping_.stops()) {
    log::info("train",
              str("no improvement in ", options_.patience, " validations: stopping early at step ", counters_.step));
  }
}

void Trainer::save() {
  const Activity activity("saving a checkpoint");
  const Snapshot taken = snapshot();
  require_finite(taken.model, counters_.step);
  require_finite(taken.training, counters_.step);
  if (store_ != nullptr) store_->save(taken);
}

interop::NamedTensors Trainer::averages() const {
  return average_ == nullptr ? interop::NamedTensors() : average_->averages();
}

void Trainer::keep_averages() { swap_values(task_.model_tensors(), averages()); }

}  // namespace ulmfit::train
