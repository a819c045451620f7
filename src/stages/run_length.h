// Lengths (config/length.h) as steps of a task: known once its data is.
#pragma once

#include <cstdint>

#include "config/length.h"
#include "train/task.h"

namespace ulmfit::stages {

// Steps from the run's beginning that make up `length`; at least one if it is above 0. Epochs count their own steps
// (windows are drawn anew in each); tokens are spread evenly over an epoch's steps. ConfigError beyond a million epochs.
std::int64_t steps_of(const config::Length& length, const train::Task& task);

// Whole epochs from the run's beginning that hold `steps` steps. ConfigError as above.
std::int64_t epochs_holding(std::int64_t steps, const train::Task& task);

}  // namespace ulmfit::stages
