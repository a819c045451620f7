#include "train/finite.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"

namespace ulmfit::train {
namespace {

constexpr const char* kAdvice =
    "; nothing of it is saved, the last checkpoint before it stands: lower --optim.lr and begin again with --restart";

}  // namespace

std::optional<std::string> first_not_finite(const interop::NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (tensor.numel() == 0 || !tensor.is_floating_point()) continue;
    const auto [least, most] = at::aminmax(tensor.detach().reshape({-1}), /*dim=*/0);
    if (!std::isfinite(least.item<double>()) || !std::isfinite(most.item<double>())) return name;
  }
  return std::nullopt;
}

void require_finite(const interop::NamedTensors& tensors, std::int64_t step) {
  if (const auto name = first_not_finite(tensors)) {
    throw DivergedError(str("training diverged: after step ", step, " ", *name, " is not finite", kAdvice));
  }
}

void require_finite(const Evaluation& evaluation, std::int64_t step) {
  const auto require = [&](const std::string& name, double value) {
    if (std::isfinite(value)) return;
    throw DivergedError(str("training diverged: validation after step ", step, " gives ", name, " ", value, kAdvice));
  };
  for (const auto& [name, value] : evaluation.values) require(name, value);
  if (!evaluation.values.empty()) require("score", evaluation.score);
}

}  // namespace ulmfit::train
