// Do N ranks train as one rank does, with this configuration, on these machines?
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/chosen_stage.h"
#include "train/parity.h"

namespace ulmfit::stages {

struct VerifyParityOptions {
  ChosenStage stage;
  train::ParityOptions parity;

  void declare(config::OptionSet& set);  // those of the stage, and parity.*
};

struct ParityVerdict {
  bool agree = false;                 // the same on all ranks
  std::vector<nlohmann::json> lines;  // rank 0: one for each state compared, and one with the verdict
};

// The ranks of `comm` against rank 0 alone. Writes no file. ConfigError if there is nothing to compare: one rank
// that computes the batch at once. Collective.
ParityVerdict verify_parity(VerifyParityOptions options, const config::OptionSet& set, comm::Communicator& comm);

}  // namespace ulmfit::stages
