// Non-monotonically triggered averaged SGD (Merity et al., "Regularizing and Optimizing LSTM Language Models", 2017,
// algorithm 1; Polyak & Juditsky 1992): once validation has stopped improving, what is evaluated and kept is the mean of
// all weights from then on, while training goes on as before.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "interop/safetensors.h"
#include "train/weight_average.h"

namespace ulmfit::train {

class NtAsgd : public WeightAverage {
 public:
  // `weights`: what is trained, by the names of Task::model_tensors() and sharing their memory. `checks`: as awd-lstm-lm
  // counts, averaging begins after a validation that is worse than the best of those before the latest `checks` (5 there).
  NtAsgd(interop::NamedTensors weights, std::int64_t checks);

  void after_step(std::int64_t step) override;
  void after_validation(double score) override;
  interop::NamedTensors averages() const override { return averages_; }
  nlohmann::json save() const override;
  void load(const nlohmann::json& state) override;

 private:
  void begin();

  interop::NamedTensors weights_;
  std::int64_t checks_;
  std::vector<double> scores_;  // of all validations
  std::int64_t latest_step_ = -1;
  std::int64_t begun_after_ = -1;   // the step; -1: averaging has not begun
  std::int64_t count_ = 0;          // weights in the mean
  interop::NamedTensors averages_;  // empty before it begins
};

}  // namespace ulmfit::train
