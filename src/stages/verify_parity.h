// Do N ranks train as one rank does, with this configuration, on these machines?
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/train_classifier.h"
#include "stages/train_lm.h"
#include "train/parity.h"

namespace ulmfit::stages {

// The stages whose training can be compared.
inline constexpr std::string_view kParityStages[] = {"pretrain", "finetune-lm", "train-classifier"};

struct VerifyParityOptions {
  std::string command;  // the one of them whose options these are
  TrainLmOptions lm;
  TrainClassifierOptions classifier;
  train::ParityOptions parity;

  void declare(config::OptionSet& set);  // those of `command`, and parity.*
};

struct ParityVerdict {
  bool agree = false;                 // the same on all ranks
  std::vector<nlohmann::json> lines;  // rank 0: one for each state compared, and one with the verdict
};

// The ranks of `comm` against rank 0 alone. Writes no file. ConfigError if there is nothing to compare: one rank
// that computes the batch at once. Collective.
ParityVerdict verify_parity(VerifyParityOptions options, const config::OptionSet& set, comm::Communicator& comm);

}  // namespace ulmfit::stages
