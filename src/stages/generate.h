// Text that a language model goes on with.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "config/option_set.h"
#include "model/sampling.h"
#include "stages/options.h"

namespace ulmfit::stages {

struct GenerateOptions {
  std::string model;
  std::string prompt;
  std::int64_t tokens = 100;  // at most, of each text
  std::int64_t texts = 1;
  std::int64_t seed = 1;
  model::SamplingOptions sampling;
  ComputeOptions compute;
  void declare(config::OptionSet& set);
};

// The prompt and what follows it, for each text, as people read it; of a backward model, what precedes it and the prompt. A
// text ends where the model begins another one. xxunk, xxpad, xxeos and fillers are never drawn. The same seed draws the
// same texts; text i of N is text i of N + 1. Throws CheckpointError for a classifier.
std::vector<std::string> generate(const GenerateOptions& options, at::Device device);

}  // namespace ulmfit::stages
