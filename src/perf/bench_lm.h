// `ulmfit bench lm`: speed of language-model training on this machine, alone or under mpirun.
#pragma once

#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "perf/measurements.h"
#include "perf/training_run.h"
#include "stages/options.h"
#include "stages/softmax_options.h"

namespace ulmfit::perf {

struct BenchLmOptions {
  stages::RunOptions run;
  model::Shape shape;
  stages::SoftmaxOptions softmax;
  stages::DropoutOptions dropout;
  train::LmTaskOptions task;  // its dropout and seed come from the others
  BlockOptions blocks;
  std::int64_t vocabulary = 33278;
  std::string corpus;  // "": made-up tokens
  bool plain = false;
  void declare(config::OptionSet& set);
};

// ConfigError for --plain on several ranks. Collective.
Measured bench_lm(const BenchLmOptions& options, comm::Communicator& comm);

}  // namespace ulmfit::perf
