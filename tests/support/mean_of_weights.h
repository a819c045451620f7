// The smallest average of weights: their mean since the first validation.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

#include "train/weight_average.h"

namespace ulmfit::test {

class MeanOfWeights : public train::WeightAverage {
 public:
  explicit MeanOfWeights(interop::NamedTensors model) : model_(std::move(model)) {}

  void after_step(std::int64_t) override {
    if (count_ == 0) return;
    const at::NoGradGuard no_grad;
    ++count_;
    for (std::size_t i = 0; i < model_.size(); ++i) {
      means_[i].second.add_((model_[i].second - means_[i].second) / static_cast<double>(count_));
    }
  }
  void after_validation(double) override {
    if (count_ == 0) begin(1);
  }
  interop::NamedTensors averages() const override { return means_; }
  nlohmann::json save() const override { return {{"count", count_}}; }
  void load(const nlohmann::json& state) override {
    if (const auto count = state.at("count").get<std::int64_t>(); count > 0) begin(count);
  }

 private:
  void begin(std::int64_t count) {
    count_ = count;
    for (const auto& [name, tensor] : model_) means_.emplace_back(name, tensor.clone());
  }

  interop::NamedTensors model_;
  interop::NamedTensors means_;
  std::int64_t count_ = 0;
};

}  // namespace ulmfit::test
