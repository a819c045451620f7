// Metrics of one or more finished stages on a split, and predictions for new text. Several models are averaged: language
// models in perplexity each for itself, classifiers by their probabilities (forward + backward).
#pragma once

#include <cstdint>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/read_line.h"
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
  std::int64_t top_losses = 0;  // texts to be shown
  void declare(config::OptionSet& set);
};

// Metrics of rank 0: the others' are not whole.
struct Evaluated {
  nlohmann::json metrics;
  std::string table;  // of classifiers: by class, and the confusion matrix
};

// Collective.
Evaluated evaluate(const EvaluateOptions& options, comm::Communicator& comm);

struct PredictOptions {
  std::vector<std::string> models;
  bool json_lines = false;  // one JSON object a line; else one text
  std::int64_t max_line_bytes = kMaxLineBytes;
  std::vector<std::string> text_fields;  // none: "text", or the columns that the model was trained on
  std::int64_t top = 0;                  // 0: all classes
  std::int64_t batch_size = 256;
  ComputeOptions compute;
  void declare(config::OptionSet& set);
};

// One text a line (or a JSON object a line) in, one JSON object a line out, in order; flushed when the input pauses. A line
// that cannot be read gets an object with "error", and the next one its answer.
void predict(const PredictOptions& options, at::Device device, std::istream& in, std::ostream& out);

}  // namespace ulmfit::stages
