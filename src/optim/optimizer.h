// Adam with decoupled weight decay, as fastai computes it, and plain SGD, over layer groups that can be frozen.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/named_values.h"
#include "optim/param_groups.h"

namespace ulmfit::optim {

enum class OptimizerKind {
  kAdam,  // Loshchilov & Hutter, "Decoupled weight decay regularization", 2019 (AdamW)
  kSgd,   // without momentum; weight decay is L2, added to the gradient
};

inline constexpr Named<OptimizerKind> kOptimizerKinds[] = {{OptimizerKind::kAdam, "adam"}, {OptimizerKind::kSgd, "sgd"}};

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdam;
  double beta1 = 0.7;  // where the schedule doesn't cycle it
  double beta2 = 0.99;
  double eps = 1e-5;
  double weight_decay = 0.01;  // for parameters with `decay` set
};

// What a checkpoint holds of an optimizer.
struct OptimizerState {
  std::vector<std::pair<std::string, at::Tensor>> moments;  // Adam's "exp_avg.NAME", "exp_avg_sq.NAME"; SGD has none
  std::vector<std::int64_t> steps;                          // updates so far, by group
};

// The tensors of one group with one weight decay, as lists that the multi-tensor kernels take.
struct UpdateLists {
  double weight_decay = 0;
  std::vector<at::Tensor> parameters, gradients;
  std::vector<std::vector<at::Tensor>> moments;  // one list for each moment of the update rule
  std::vector<at::Tensor> steps;                 // the group's count on the device, once a parameter; empty without moments
};

// Whether and how an update is made, decided where the weights are, so that a host need not wait for a GPU: scalar float32
// tensors on their device.
struct UpdateGate {
  at::Tensor divisor;  // of all gradients, before anything else; they are left divided. Undefined: 1
  at::Tensor skipped;  // 1: parameters, moments and the device's counts stay as they are; 0: the update is made
};

struct UpdateRule;  // of an optimizer kind, in optimizer.cpp: its moments and its arithmetic

// Updates the parameters in place from their `grad()`. With k the group's own count of updates, lr its rate:
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  p = p (1 - lr wd)
//   p = p - lr / (1 - beta1^k) m / (sqrt(v / (1 - beta2^k)) + eps)
// A group's parameters train and freeze together, so its count is that of each of its parameters.
// The result is the same bit for bit for any number of threads. Nothing here communicates.
class Optimizer {
 public:
  // All groups are trainable at first. Moments are allocated here, on the parameters' devices. Throws
  // std::invalid_argument if two parameters share a name or storage, or one is not contiguous.
  Optimizer(std::vector<LayerGroup> groups, OptimizerOptions options);

  // Sets requires_grad of every parameter by its group and drops the gradients of the frozen ones.
  void set_trainable(const std::vector<bool>& trainable_by_group);

  // One update of the trainable groups; frozen ones keep parameters, moments and counts. `beta1` is the schedule's, if it
  // cycles it. Without a gate it allocates no tensor; with one, the host counts the update as made until it has read of
  // `skipped` and calls take_back_count(). Throws std::logic_error if a trainable parameter has no gradient.
  void step(const std::vector<double>& lr_by_group, std::optional<double> beta1 = std::nullopt,
            const UpdateGate* gate = nullptr);
  // One update that was counted, of the groups that train now, was skipped by its gate.
  void take_back_count();

  const std::vector<LayerGroup>& groups() const { return groups_; }

  // The moments themselves, not copies: copy them before the next step.
  OptimizerState state() const;

  // Copies `state` in. Throws CheckpointError, with nothing changed, naming the first entry that is missing, unknown or of
  // another shape or type.
  void load_state(const OptimizerState& state);

 private:
  struct GroupState {
    bool trainable = true;
    std::int64_t steps = 0;
    at::Tensor steps_on_device;  // float32 scalar, shared by all entries of UpdateLists::steps; gates decide if it grows
    UpdateLists decayed, plain;
  };

  void add_parameter(GroupState& group, const NamedParameter& parameter);
  void gather_gradients(std::size_t group);

  std::vector<LayerGroup> groups_;
  OptimizerOptions options_;
  const UpdateRule& rule_;
  std::vector<GroupState> states_;
};

}  // namespace ulmfit::optim
