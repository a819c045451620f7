// `ulmfit bench allreduce`: what a sum over ranks costs here, as the two numbers that `ulmfit plan` takes.
#pragma once

#include <cstdint>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "perf/measurements.h"
#include "stages/options.h"

namespace ulmfit::perf {

struct BenchAllReduceOptions {
  stages::RunOptions run;
  double max_mb = 64;
  std::int64_t repeats = 7;
  void declare(config::OptionSet& set);
};
// ConfigError on one rank. Collective.
Measured bench_allreduce(const BenchAllReduceOptions& options, comm::Communicator& comm);

}  // namespace ulmfit::perf
