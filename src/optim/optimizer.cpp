#include "optim/optimizer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <unordered_map>

#include "base/activity.h"
#include "base/error.h"

namespace ulmfit::optim {
namespace {

void check_parameters(const std::vector<LayerGroup>& groups) {
  std::set<std::string> names;
  std::set<const void*> storages;
  for (const LayerGroup& group : groups) {
    for (const NamedParameter& p : group.parameters) {
      if (!names.insert(p.name).second) throw std::invalid_argument(str("Optimizer: two parameters are called ", p.name));
      if (!p.tensor.is_contiguous()) throw std::invalid_argument(str("Optimizer: ", p.name, " is not contiguous"));
      // Tied weights would be updated twice: they are one parameter, whose gradient is the sum of both parts.
      if (p.tensor.numel() > 0 && !storages.insert(p.tensor.const_data_ptr()).second) {
        throw std::invalid_argument(str("Optimizer: ", p.name, " shares its storage with another parameter"));
      }
    }
  }
}

void check_entry(const std::string& name, const at::Tensor& expected, const at::Tensor& found) {
  if (found.sizes() == expected.sizes() && found.scalar_type() == expected.scalar_type()) return;
  throw CheckpointError(ulmfit::str("cannot load the optimizer's state: ", name, " should be ", expected.scalar_type(), " ",
                                    expected.sizes(), ", but is ", found.scalar_type(), " ", found.sizes(),
                                    "; the checkpoint belongs to another model"));
}

std::optional<at::Tensor> divisor_of(const UpdateGate* gate) {
  return gate == nullptr || !gate->divisor.defined() ? std::nullopt : std::optional(gate->divisor);
}
std::optional<at::Tensor> skipped_of(const UpdateGate* gate) {
  return gate == nullptr ? std::nullopt : std::optional(gate->skipped);
}

void adam(UpdateLists& lists, const OptimizerOptions& options, double lr, double beta1, const UpdateGate* gate) {
  at::_fused_adamw_(lists.parameters, lists.gradients, lists.moments[0], lists.moments[1], /*max_exp_avg_sqs=*/{},
                    lists.steps, lr, beta1, options.beta2, lists.weight_decay, options.eps, /*amsgrad=*/false,
                    /*maximize=*/false, divisor_of(gate), skipped_of(gate));
}

void sgd(UpdateLists& lists, const OptimizerOptions& /*options*/, double lr, double /*beta1*/, const UpdateGate* gate) {
  at::_fused_sgd_(lists.parameters, lists.gradients, /*momentum_buffer_list=*/{}, lists.weight_decay, /*momentum=*/0, lr,
                  /*dampening=*/0, /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false, divisor_of(gate),
                  skipped_of(gate));
}

}  // namespace

struct UpdateRule {
  OptimizerKind kind;
  std::vector<std::string> moments;  // names in a checkpoint, before that of the parameter
  void (*update)(UpdateLists& lists, const OptimizerOptions& options, double lr, double beta1, const UpdateGate* gate);
};

namespace {

const UpdateRule& rule_of(OptimizerKind kind) {
  static const std::vector<UpdateRule> rules{{OptimizerKind::kAdam, {"exp_avg", "exp_avg_sq"}, adam},
                                             {OptimizerKind::kSgd, {}, sgd}};
  const auto found = std::find_if(rules.begin(), rules.end(), [&](const UpdateRule& rule) { return rule.kind == kind; });
  if (found == rules.end()) throw std::invalid_argument("Optimizer: unknown kind");
  return *found;
}

}  // namespace

Optimizer::Optimizer(std::vector<LayerGroup> groups, OptimizerOptions options)
    : groups_(std::move(groups)), options_(options), rule_(rule_of(options.kind)), states_(groups_.size()) {
  check_parameters(groups_);
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    states_[i].decayed.weight_decay = options_.weight_decay;
    for (const NamedParameter& parameter : groups_[i].parameters) add_parameter(states_[i], parameter);
  }
}

void Optimizer::add_parameter(GroupState& group, const NamedParameter& parameter) {
  const at::NoGradGuard no_grad;
  UpdateLists& lists = parameter.decay ? group.decayed : group.plain;
  lists.parameters.push_back(parameter.tensor);
  lists.gradients.emplace_back();
  if (rule_.moments.empty()) return;
  if (!group.steps_on_device.defined()) group.steps_on_device = at::zeros({}, parameter.tensor.options().dtype(at::kFloat));
  lists.moments.resize(rule_.moments.size());
  for (auto& moment : lists.moments) moment.push_back(at::zeros_like(parameter.tensor));
  lists.steps.push_back(group.steps_on_device);
}

void Optimizer::set_trainable(const std::vector<bool>& trainable_by_group) {
  if (trainable_by_group.size() != groups_.size()) {
    throw std::invalid_argument(str("Optimizer: ", trainable_by_group.size(), " flags for ", groups_.size(), " groups"));
  }
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    states_[i].trainable = trainable_by_group[i];
    for (NamedParameter& parameter : groups_[i].parameters) {
      parameter.tensor.set_requires_grad(trainable_by_group[i]);
      if (!trainable_by_group[i]) parameter.tensor.mutable_grad().reset();
    }
  }
}

void Optimizer::gather_gradients(std::size_t group) {
  std::size_t decayed = 0;
  std::size_t plain = 0;
  for (const NamedParameter& parameter : groups_[group].parameters) {
    const at::Tensor& gradient = parameter.tensor.grad();
    if (!gradient.defined()) {
      throw std::logic_error(str("Optimizer: ", parameter.name, " of the trainable group ", groups_[group].name,
                                 " has no gradient; run backward first, or freeze the group"));
    }
    GroupState& state = states_[group];
    at::Tensor& entry = parameter.decay ? state.decayed.gradients[decayed++] : state.plain.gradients[plain++];
    entry = gradient.contiguous();
  }
}

void Optimizer::step(const std::vector<double>& lr_by_group, std::optional<double> beta1, const UpdateGate* gate) {
  const Activity activity("optimizer");
  if (lr_by_group.size() != groups_.size()) {
    throw std::invalid_argument(str("Optimizer: ", lr_by_group.size(), " rates for ", groups_.size(), " groups"));
  }
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (states_[i].trainable) gather_gradients(i);  // all before the first update: an error leaves nothing half done
  }
  const at::Tensor made = gate == nullptr ? at::Tensor() : 1 - gate->skipped;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    GroupState& group = states_[i];
    if (!group.trainable) continue;
    ++group.steps;
    if (group.steps_on_device.defined()) {
      gate == nullptr ? group.steps_on_device.fill_(group.steps) : group.steps_on_device.add_(made);
    }
    for (UpdateLists* lists : {&group.decayed, &group.plain}) {
      if (lists->parameters.empty()) continue;
      rule_.update(*lists, options_, lr_by_group[i], beta1.value_or(options_.beta1), gate);
      for (at::Tensor& gradient : lists->gradients) gradient.reset();  // they are the model's to keep or drop
    }
  }
}

void Optimizer::take_back_count() {
  for (GroupState& group : states_) {
    if (group.trainable) --group.steps;
  }
}

OptimizerState Optimizer::state() const {
  OptimizerState out;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const GroupState& group = states_[i];
    out.steps.push_back(group.steps);
    std::size_t decayed = 0;
    std::size_t plain = 0;
    for (const NamedParameter& parameter : groups_[i].parameters) {
      const UpdateLists& lists = parameter.decay ? group.decayed : group.plain;
      const std::size_t at = parameter.decay ? decayed++ : plain++;
      for (std::size_t m = 0; m < rule_.moments.size(); ++m) {
        out.moments.emplace_back(rule_.moments[m] + "." + parameter.name, lists.moments[m][at]);
      }
    }
  }
  return out;
}

void Optimizer::load_state(const OptimizerState& state) {
  const OptimizerState own = this->state();
  if (state.steps.size() != own.steps.size()) {
    throw CheckpointError(str("cannot load the optimizer's state: it counts the steps of ", state.steps.size(),
                              " layer groups, but the model has ", own.steps.size(),
                              "; the checkpoint belongs to another model"));
  }
  for (std::size_t i = 0; i < state.steps.size(); ++i) {
    if (state.steps[i] >= 0) continue;
    throw CheckpointError(
        str("cannot load the optimizer's state: group ", groups_[i].name, " has ", state.steps[i], " steps"));
  }
  std::unordered_map<std::string, at::Tensor> given(state.moments.begin(), state.moments.end());
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  for (const auto& [name, moment] : own.moments) {
    const auto found = given.find(name);
    if (found == given.end()) {
      throw CheckpointError(str("cannot load the optimizer's state: ", name,
                                " is missing; the checkpoint belongs to another model or optimizer"));
    }
    check_entry(name, moment, found->second);
    copies.emplace_back(moment, found->second);
    given.erase(found);
  }
  if (!given.empty()) {
    throw CheckpointError(str("cannot load the optimizer's state: ", given.begin()->first,
                              " is not known here; the checkpoint belongs to another model or optimizer"));
  }
  const at::NoGradGuard no_grad;
  for (auto& [to, from] : copies) to.copy_(from);
  for (std::size_t i = 0; i < states_.size(); ++i) {
    states_[i].steps = state.steps[i];
    if (states_[i].steps_on_device.defined()) states_[i].steps_on_device.fill_(state.steps[i]);
  }
}

}  // namespace ulmfit::optim
