// Metrics of one or more finished stages on a split: of language models each for itself, of classifiers those of the mean
// of their probabilities (forward + backward).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/options.h"

namespace ulmfit::stages {

struct EvaluateOptions {
  std::vector<std::string> models;
  std::string data;
  std::string split = "test";
  ComputeOptions compute;
  std::int64_t batch_size = 64;
  std::string report;  // folder for report.html
  bool baselines = false;
  std::vector<std::string> against;                    // other classifiers, averaged too: which are better?
  std::int64_t top_losses = 0;                         // texts to be shown
  bool calibration = false;                            // fit a temperature on the validation texts
  double reject_below = 0;                             // texts whose label is less probable get no answer
  EvaluateOptions() { compute.deadline = 24 * 3600; }  // the others wait while rank 0 explains, resamples and writes
  void declare(config::OptionSet& set);
};

// Metrics of rank 0: the others' are not whole.
struct Evaluated {
  nlohmann::json metrics;
  std::string table;  // of classifiers: by class, and the confusion matrix
};

// Collective.
Evaluated evaluate(const EvaluateOptions& options, comm::Communicator& comm);

}  // namespace ulmfit::stages
