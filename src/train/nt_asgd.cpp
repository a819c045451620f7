#include "train/nt_asgd.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace ulmfit::train {

NtAsgd::NtAsgd(interop::NamedTensors weights, std::int64_t checks) : weights_(std::move(weights)), checks_(checks) {}

void NtAsgd::after_step(std::int64_t step) {
  latest_step_ = step;
  if (begun_after_ < 0) return;
  ++count_;
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    // mean += (weight - mean) / count, so that the first weights replace those of the trigger.
    averages_[i].second.lerp_(weights_[i].second.detach(), 1.0 / static_cast<double>(count_));
  }
}

void NtAsgd::after_validation(double score) {
  const auto known = static_cast<std::int64_t>(scores_.size());
  if (begun_after_ < 0 && known > checks_ && score > *std::min_element(scores_.begin(), scores_.end() - checks_)) {
    begun_after_ = latest_step_;
    begin();
    log::info("train", str("validation has not improved for ", checks_, " checks: from step ", latest_step_ + 1,
                           " on the mean of the weights is evaluated and kept (NT-ASGD)"));
  }
  scores_.push_back(score);
}

void NtAsgd::begin() {
  const at::NoGradGuard no_grad;
  averages_.clear();
  for (const auto& [name, weight] : weights_) averages_.emplace_back(name, weight.detach().clone());
}

nlohmann::json NtAsgd::save() const {
  return {{"kind", "nt-asgd"},
          {"scores", scores_},
          {"latest_step", latest_step_},
          {"begun_after", begun_after_},
          {"count", count_}};
}

void NtAsgd::load(const nlohmann::json& state) {
  state.at("scores").get_to(scores_);
  state.at("latest_step").get_to(latest_step_);
  state.at("begun_after").get_to(begun_after_);
  state.at("count").get_to(count_);
  averages_.clear();
  if (begun_after_ >= 0) begin();
}

}  // namespace ulmfit::train
