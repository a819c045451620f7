// Room for weights that are evaluated and kept in place of those being trained, such as the mean of the latest ones
// (averaged SGD). The trainer validates with them, saves them as the model of a checkpoint, beside the weights that
// training goes on from, and leaves them in the model at the end.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "interop/safetensors.h"

namespace ulmfit::train {

class WeightAverage {
 public:
  virtual ~WeightAverage() = default;

  // After the update of step `step`, also where it was skipped. The same on every rank; must not communicate.
  virtual void after_step(std::int64_t step) = 0;
  // After each validation with its score; lower is better.
  virtual void after_validation(double score) = 0;

  // Sharing memory, under names of Task::model_tensors(). A tensor of the model that is not among them is evaluated as it
  // is trained. Empty: there is no average yet.
  virtual interop::NamedTensors averages() const = 0;

  // What a checkpoint keeps besides. After load(), averages() has the tensors of that state, their values not yet.
  virtual nlohmann::json save() const = 0;
  virtual void load(const nlohmann::json& state) = 0;
};

}  // namespace ulmfit::train
