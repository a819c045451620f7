// `ulmfit plan`: memory, steps, hours and efficiency of a pretraining run on up to 1,024 ranks, before the queue wait.
#pragma once

#include <cstdint>
#include <string>

#include "config/option_set.h"
#include "perf/measurements.h"
#include "stages/options.h"

namespace ulmfit::perf {

struct PlanOptions {
  model::Shape shape;
  std::int64_t vocabulary = 33278;
  std::int64_t streams = 64;  // of one rank
  std::int64_t bptt = 70;
  double tokens = 103e6;  // WikiText-103
  std::int64_t epochs = 14;
  double tokens_per_s = 0;  // of one rank
  std::string speed;        // JSON line of bench lm
  double alpha_us = 8;      // NCCL inside a node
  double gb_per_s = 400;
  double node_alpha_us = 14;
  double node_gb_per_s = 40;
  std::string allreduce;
  std::string allreduce_nodes;
  std::int64_t ranks_per_node = 8;
  std::int64_t node_cards = 0;      // 0: ranks_per_node
  std::int64_t gradient_bytes = 4;  // of one value
  double overlap = 0;
  double jitter = 0.02;
  double critical_batch = 286720;
  void declare(config::OptionSet& set);
};

// ConfigError without a speed, DataError for a file that is no result of the benchmark it is meant to be.
Measured plan(const PlanOptions& options);

}  // namespace ulmfit::perf
