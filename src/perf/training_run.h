// The measured part of the training benchmarks: the trainer of the product itself, step by step in blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "perf/measurements.h"
#include "perf/op_profile.h"
#include "stages/options.h"
#include "train/task.h"

namespace ulmfit::perf {

struct BlockOptions {
  std::int64_t warmup = 2;                               // steps before the first block
  std::int64_t blocks = 5;                               // that count
  std::int64_t block = 2;                                // steps of a block; 0: an epoch
  std::int64_t profile = 1;                              // steps under the profile, after the blocks
  void declare(config::OptionSet& set, bool of_epochs);  // of_epochs: --block=0 is allowed, and the default
  std::int64_t steps() const { return warmup + blocks * block + profile; }
};

// Options of where and how to compute that a benchmark takes.
void declare_compute(config::OptionSet& set, stages::RunOptions& run);

struct TrainingMeasurements {
  std::vector<double> rates;   // items a second by block, over all ranks
  std::vector<double> losses;  // mean of each block
  std::optional<stages::PeakMemory>
      peak_memory;  // of rank 0, after the first block; none with `between`, whose memory would count
  std::optional<ProfileResult> profile;
};

// Trains `task` with Adam at a constant rate, all layers, clipping on. `between`, if any, is called on rank 0 with the
// number of steps since the last call: after the warm-up, and after each block but not during one; its time does not count.
// Collective; the measurements are rank 0's.
TrainingMeasurements measure_training(train::Task& task, const stages::RunOptions& run,
                                      const train::MicroBatches& micro_batches, const BlockOptions& options,
                                      comm::Communicator& comm, const std::function<void(std::int64_t)>& between = {});

// The optimizer's settings that measure_training uses, for loops that are compared with it.
stages::OptimOptions bench_optim();

// What both training benchmarks tell in the same words: spread of rates, share of the peak, memory, activities, operators.
void describe_training(const TrainingMeasurements& measurements, const std::string& rate_name, double flop_an_item,
                       double product_peak, const comm::Communicator& comm, nlohmann::json& line, Table& table);

}  // namespace ulmfit::perf
