// The learning-rate range test of a stage's training.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/chosen_stage.h"

namespace ulmfit::stages {

struct FindLrOptions {
  ChosenStage stage;
  double lowest = 1e-7;
  double highest = 10;
  std::int64_t steps = 100;
  std::string report;  // folder; empty: none

  void declare(config::OptionSet& set);  // those of the stage, and find.*
};

struct RatesFound {
  nlohmann::json line;  // rank 0's, as the table
  std::string table;
};

// Trains the stage from its start for so many steps while its rate (--optim.lr, that of the last layer group) rises from
// the lowest to the highest, in equal factors, until the loss is four times its lowest or not finite; nothing is kept. All
// groups train unless --optim.unfreeze=last or --optim.train-groups is given; --optim.lr-rule does not count. Throws
// DivergedError if the loss breaks away before anything can be told. Collective.
RatesFound find_lr(FindLrOptions options, const config::OptionSet& set, comm::Communicator& comm);

}  // namespace ulmfit::stages
