// What of a trainer a checkpoint holds, and how it goes on from one.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

#include "base/activity.h"
#include "base/error.h"
#include "train/trainer.h"

namespace ulmfit::train {
namespace {

constexpr int kCheckpointVersion = 1;
constexpr const char* kTrained = "trained.";  // before the names of weights that are not what is evaluated
constexpr const char* kNotOurs = "cannot continue: state.json of the checkpoint is not what this version writes: ";

void require_version(const nlohmann::json& state) {
  if (state.at("version") == kCheckpointVersion) return;
  throw CheckpointError(str("cannot continue from a checkpoint of version ", state.at("version").dump(),
                            ": this program reads ", kCheckpointVersion, "; use the program that wrote it"));
}

}  // namespace

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
    const at::Tensor* average = interop::find_tensor(averages, name);
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
  const at::Tensor* saved = interop::find_tensor(tensors, name);
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
      const at::Tensor* average = interop::find_tensor(averages, name);
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
