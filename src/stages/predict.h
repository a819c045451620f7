// Labels of new texts by finished classifiers, whose probabilities are averaged (forward + backward), and whose thresholds
// are, where they give several labels a text.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "config/option_set.h"
#include "stages/options.h"
#include "stages/requests.h"

namespace ulmfit::stages {

struct PredictOptions {
  std::vector<std::string> models;
  RequestOptions requests;
  std::string output;        // file; empty: standard output
  std::int64_t top = 0;      // 0: all classes
  std::int64_t explain = 0;  // words shown for each class
  double temperature = 1;    // probabilities to the power 1 / this, scaled to sum 1
  std::int64_t batch_size = 256;
  ComputeOptions compute;
  void declare(config::OptionSet& set);
};

// Texts in, one answer for each out, in order: of lines and JSON lines a JSON object a line; of a table the table with
// columns for the answers. A text that cannot be read gets an answer with "error", and the next one its own. What comes
// through `in` is answered when it pauses. A file of answers that was not finished is gone on with by the same call.
// Throws ConfigError, DataError, CheckpointError and FileError.
void predict(const PredictOptions& options, at::Device device, std::istream& in, std::ostream& out);

}  // namespace ulmfit::stages
