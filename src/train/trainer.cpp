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

constexpr int kCheckpointVersion = 1;
constexpr const char* kTrained = "trained.";  // before the names of weights that are not what is evaluated
constexpr const char* kNotOurs = "cannot continue: state.json of the checkpoint is not what this version writes: ";

// The tensor called `name`; null: there is none.
const at::Tensor* find(const interop::NamedTensors& tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.first == name; });
  return found == tensors.end() ? nullptr : &found->second;
}

void require_version(const nlohmann::json& state) {
  if (state.at("version") == kCheckpointVersion) return;
  throw CheckpointError(str("cannot continue from a checkpoint of version ", state.at("version").dump(),
                            ": this program reads ", kCheckpointVersion, "; use the program that wrote it"));
}

// Exchanges the values of the averages and of the model's tensors: done twice, all is as it was.
void swap_values(const interop::NamedTensors& model, const interop::NamedTensors& averages) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, average] : averages) {
    const at::Tensor* tensor = find(model, name);
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
    const bool saves = due || epoch_over || stop_agreed_;
    if (saves || counters_.step % kStepsBetweenComparisons == 0) compare_ranks();
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

  const StepSums sums = forward_backward();
  const std::vector<at::Tensor> gradients = optim::gradients(optimizer_.groups());
  // Every rank has the same sums, so that all come to the same decision.
  const double norm = optim::global_norm(gradients);
  if (divergence_guard_.admits(step, norm, sums.nats)) {
    if (options_.clip > 0) optim::clip_(gradients, norm, options_.clip);
    optimizer_.step(rates_.lr_by_group, rates_.beta1);
    counters_.report_nats += sums.nats;
    counters_.report_targets += sums.targets;
  } else {
    task_.discard_step();
  }
  if (average_ != nullptr) average_->after_step(step);
  ++counters_.step;
  counters_.items += sums.items;
  report_items_ += sums.items;
  if (counters_.step % options_.log_every == 0 || counters_.step == plan_.total_steps()) report(norm);
}

StepSums Trainer::forward_backward() {
  const std::int64_t step = counters_.step;
  if (plan_.phase(step) != current_phase_) enter_phase(plan_.phase(step));
  zero_gradients();
  const StepSums mine = task_.accumulate_gradients(plan_.position(step), reducer_);
  reducer_.reduce();
  const StepSums sums = agree(mine);
  const Activity activity("all-reduce");
  comm_.wait();  // what follows reads the sums
  return sums;
}

StepSums Trainer::compute_gradients() {
  task_.seek(plan_.position(counters_.step));
  return forward_backward();
}

void Trainer::enter_phase(std::size_t phase) {
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

StepSums Trainer::agree(const StepSums& mine) {
  const Activity activity("agreement of the ranks");
  const ScopedTimer timer(comm_seconds_);
  at::Tensor sums = at::tensor({mine.nats, mine.targets, mine.items, stop_requested() ? 1.0 : 0.0}, at::kDouble);
  comm_.all_reduce(sums, comm::ReduceOp::kSum);
  const auto* s = sums.const_data_ptr<double>();
  stop_agreed_ = s[3] > 0;
  return {s[0], s[1], s[2]};
}

void Trainer::report(double norm) {
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
    r.grad_norm = norm;
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

Snapshot Trainer::snapshot() {
  Snapshot taken;
  taken.step = counters_.step;
  taken.best_step = best_step();
  taken.model = task_.model_tensors();
  const optim::OptimizerState state = optimizer_.state();
  taken.training = state.moments;
  const interop::NamedTensors recurrent = task_.recurrent_state();
  taken.training.insert(taken.training.end(), recurrent.begin(), recurrent.end());
  const interop::NamedTensors averages = this->averages();
  for (auto& [name, tensor] : taken.model) {
    const at::Tensor* average = find(averages, name);
    if (average == nullptr) continue;
    taken.training.emplace_back(kTrained + name, tensor);
    tensor = *average;
  }
  taken.state = {{"format", "ulmfit-checkpoint"},
                 {"version", kCheckpointVersion},
                 {"counters", counters_to_json()},
                 {"optimizer_steps", state.steps},
                 {"observer", observer_ == nullptr ? nlohmann::json() : observer_->state()}};
  if (average_ != nullptr) taken.state["average"] = average_->save();
  return taken;
}

const at::Tensor& Trainer::saved_tensor(const interop::NamedTensors& tensors, const std::string& name,
                                        const at::Tensor& like) const {
  const at::Tensor* saved = find(tensors, name);
  if (saved == nullptr || saved->sizes() != like.sizes()) {
    throw CheckpointError(str("cannot continue from the checkpoint of step ", counters_.step, ": ", name,
                              saved == nullptr ? " is missing" : " has another shape"));
  }
  return *saved;
}

void Trainer::restore(const std::optional<Snapshot>& snapshot) {
  const Activity activity("reading a checkpoint");
  std::string state_text = snapshot ? snapshot->state.dump() : "";
  comm_.broadcast_bytes(state_text, 0);
  if (state_text.empty()) return;
  const nlohmann::json state = nlohmann::json::parse(state_text);
  try {
    require_version(state);
    if (state.contains("average") != (average_ != nullptr)) {
      throw CheckpointError(str("cannot continue: the checkpoint ", average_ == nullptr ? "has" : "lacks",
                                " an average of the weights, which this run ", average_ == nullptr ? "lacks" : "has",
                                "; it belongs to another run"));
    }
    counters_from_json(state.at("counters"));
    if (counters_.step > plan_.total_steps()) {
      throw CheckpointError(str("cannot continue from the checkpoint of step ", counters_.step, ": this run has ",
                                plan_.total_steps(), " steps; the checkpoint belongs to another run"));
    }
    const auto spread = [&](at::Tensor target, const std::string& name, const interop::NamedTensors* from) {
      if (from != nullptr) target.copy_(saved_tensor(*from, name, target));
      comm_.broadcast(target, 0);
    };
    at::NoGradGuard no_grad;
    if (average_ != nullptr) average_->load(state.at("average"));
    const interop::NamedTensors* model = snapshot ? &snapshot->model : nullptr;
    const interop::NamedTensors* training = snapshot ? &snapshot->training : nullptr;
    const interop::NamedTensors averages = this->averages();
    for (const auto& [name, tensor] : task_.model_tensors()) {
      const at::Tensor* average = find(averages, name);
      spread(average == nullptr ? tensor : *average, name, model);
      if (average != nullptr) spread(tensor, kTrained + name, training);
    }
    optim::OptimizerState moments = optimizer_.state();
    for (auto& [name, tensor] : moments.moments) spread(tensor, name, training);
    moments.steps = state.at("optimizer_steps").get<std::vector<std::int64_t>>();
    optimizer_.load_state(moments);
    interop::NamedTensors recurrent = task_.recurrent_state();
    for (auto& [name, tensor] : recurrent) {
      at::Tensor on_device = tensor.to(comm_.device());
      spread(on_device, name, training);
      tensor = on_device.cpu();
    }
    task_.load_recurrent_state(recurrent);
  } catch (const nlohmann::json::exception& e) {
    throw CheckpointError(str(kNotOurs, e.what()));
  }
}

bool early_stopped(const Snapshot& snapshot, std::int64_t patience) {
  EarlyStopping at_the_time(patience);
  try {
    require_version(snapshot.state);
    at_the_time.load(snapshot.state.at("counters"));
  } catch (const nlohmann::json::exception& e) {
    throw CheckpointError(str(kNotOurs, e.what()));
  }
  return at_the_time.stops();
}

nlohmann::json Trainer::counters_to_json() const {
  nlohmann::json json = {{"step", counters_.step},
                         {"items", counters_.items},
                         {"report_nats", counters_.report_nats},
                         {"report_targets", counters_.report_targets},
                         {"elapsed", elapsed_seconds()}};
  divergence_guard_.save(json);
  early_stopping_.save(json);
  return json;
}

// A run that early stopping had ended when this checkpoint was written stays ended.
void Trainer::counters_from_json(const nlohmann::json& json) {
  json.at("step").get_to(counters_.step);
  json.at("items").get_to(counters_.items);
  json.at("report_nats").get_to(counters_.report_nats);
  json.at("report_targets").get_to(counters_.report_targets);
  clock_.set_earlier(json.at("elapsed").get<double>());
  divergence_guard_.load(json);
  early_stopping_.load(json);
}

}  // namespace ulmfit::train
