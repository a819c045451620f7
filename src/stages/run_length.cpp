#include "stages/run_length.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace ulmfit::stages {
namespace {

constexpr std::int64_t kMostEpochs = 1'000'000;

}  // namespace

std::int64_t steps_of(const config::Length& length, const train::Task& task) {
  if (length.amount == 0) return 0;
  if (length.unit == config::Length::Unit::kSteps) return std::llround(length.amount);
  const bool tokens = length.unit == config::Length::Unit::kTokens;
  const double epochs = tokens ? length.amount / static_cast<double>(task.tokens_in_epoch()) : length.amount;
  if (epochs > static_cast<double>(kMostEpochs)) {
    throw ConfigError(str("a length of ", epochs, " epochs of this data: expected at most ", kMostEpochs));
  }
  const auto whole = static_cast<std::int64_t>(epochs);
  std::int64_t steps = 0;
  for (std::int64_t e = 0; e < whole; ++e) steps += task.steps_in_epoch(e);
  steps += std::llround((epochs - static_cast<double>(whole)) * static_cast<double>(task.steps_in_epoch(whole)));
  return std::max<std::int64_t>(steps, 1);
}

std::int64_t epochs_holding(std::int64_t steps, const train::Task& task) {
  std::int64_t epochs = 0;
  for (std::int64_t held = 0; held < steps; ++epochs) {
    if (epochs == kMostEpochs) throw ConfigError(str(steps, " steps: expected at most those of ", kMostEpochs, " epochs"));
    held += task.steps_in_epoch(epochs);
  }
  return epochs;
}

}  // namespace ulmfit::stages
