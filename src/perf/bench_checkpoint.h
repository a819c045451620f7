// `ulmfit bench checkpoint`: how long a step stands still while its state is copied for an asynchronous save.
#pragma once

#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "perf/measurements.h"
#include "stages/options.h"

namespace ulmfit::perf {

struct BenchCheckpointOptions {
  stages::RunOptions run;
  model::Shape shape;
  std::int64_t vocabulary = 33278;
  std::int64_t streams = 64;
  std::int64_t saves = 5;
  std::string folder;
  void declare(config::OptionSet& set);
};
// ConfigError on several ranks.
Measured bench_checkpoint(const BenchCheckpointOptions& options, comm::Communicator& comm);

}  // namespace ulmfit::perf
