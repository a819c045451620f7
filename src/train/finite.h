// Weights, buffers and scores that are not finite are worth nothing: they are never saved, and no run ends well with them.
#pragma once

#include <optional>
#include <string>

#include "interop/safetensors.h"
#include "train/task.h"

namespace ulmfit::train {

// Name of the first tensor that holds a NaN or an infinity.
std::optional<std::string> first_not_finite(const interop::NamedTensors& tensors);

// Throws DivergedError if a tensor (weight, buffer, moment, LSTM state) as it stands after `step` steps is not finite.
void require_finite(const interop::NamedTensors& tensors, std::int64_t step);
// The same for a score or another value of an evaluation.
void require_finite(const Evaluation& evaluation, std::int64_t step);

}  // namespace ulmfit::train
