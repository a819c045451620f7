// `ulmfit bench rnn`: what a time step of one LSTM layer costs, by its width and the number of columns.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "perf/measurements.h"
#include "stages/options.h"

namespace ulmfit::perf {

struct BenchRnnOptions {
  stages::RunOptions run;
  std::vector<std::int64_t> widths{400, 1152};     // of input and output
  std::vector<std::int64_t> columns{16, 64, 256};  // streams or documents side by side
  std::int64_t bptt = 70;
  std::int64_t repeats = 7;
  void declare(config::OptionSet& set);
};

// ConfigError on several ranks.
Measured bench_rnn(const BenchRnnOptions& options, comm::Communicator& comm);

}  // namespace ulmfit::perf
