// `ulmfit bench rnn`: what a time step of one LSTM layer costs, by its width and the number of columns; and on a GPU what
// weights in one buffer save (model/flat_weights.h).
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "model/precision.h"
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

// Microseconds.
struct RnnTimes {
  Spread forward, with_backward;  // of a time step
  // By how much a call, which is of all time steps, is longer where the weights lie apart: at::lstm then copies them into a
  // buffer, of which it asks cuDNN for the place of every gate. Nothing on a CPU, where it does neither.
  struct Apart {
    Spread forward, with_backward;
  };
  std::optional<Apart> apart;
};

RnnTimes measure_rnn(const BenchRnnOptions& options, std::int64_t width, std::int64_t columns, model::Precision precision,
                     at::Device device);

// ConfigError on several ranks.
Measured bench_rnn(const BenchRnnOptions& options, comm::Communicator& comm);

}  // namespace ulmfit::perf
