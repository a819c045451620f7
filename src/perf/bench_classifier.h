// `ulmfit bench classifier` and `ulmfit bench predict`: documents a second of classifier training, all layers, and of
// prediction, from token ids to probabilities.
#pragma once

#include <cstdint>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "perf/documents.h"
#include "perf/measurements.h"
#include "perf/training_run.h"
#include "stages/options.h"

namespace ulmfit::perf {

struct BenchClassifierOptions {
  stages::RunOptions run;
  model::Shape shape;
  stages::DropoutOptions dropout = stages::classifier_dropout();
  model::Bpt3cOptions bpt3c;
  DocumentOptions documents;
  BlockOptions blocks;
  std::int64_t batch_size = 32;
  void declare(config::OptionSet& set);
};
// Collective.
Measured bench_classifier(const BenchClassifierOptions& options, comm::Communicator& comm);

struct BenchPredictOptions {
  stages::RunOptions run;
  model::Shape shape;
  model::Bpt3cOptions bpt3c;
  DocumentOptions documents;
  std::int64_t blocks = 5;
  std::int64_t batch_size = 256;
  void declare(config::OptionSet& set);
};
// Collective.
Measured bench_predict(const BenchPredictOptions& options, comm::Communicator& comm);

}  // namespace ulmfit::perf
