// Speed of language-model training on this machine, on random tokens.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "config/option_set.h"
#include "stages/options.h"

namespace ulmfit::stages {

struct BenchLmOptions {
  RunOptions run;
  ModelOptions model;
  DropoutOptions dropout;
  std::int64_t vocabulary = 33278;
  std::int64_t streams = 64;
  std::int64_t bptt = 70;
  std::int64_t steps = 8;
  std::int64_t warmup = 2;
  void declare(config::OptionSet& set);
};

ExitCode bench_lm(const BenchLmOptions& options);

}  // namespace ulmfit::stages
