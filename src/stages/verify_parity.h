// Do N ranks train as one rank does, with this configuration, on these machines?
#pragma once

#include <string>

#include "config/option_set.h"
#include "stages/train_classifier.h"
#include "stages/train_lm.h"
#include "train/parity.h"

namespace ulmfit::stages {

struct VerifyParityOptions {
  std::string command;  // the stage whose options these are: pretrain, finetune-lm or train-classifier
  TrainLmOptions lm;
  TrainClassifierOptions classifier;
  train::ParityOptions parity;

  void declare(config::OptionSet& set);  // those of `command`, and parity.*
};

// Runs on all ranks of the launcher; rank 0 also runs the case alone. Writes no file. Prints a JSON line for each state
// compared, and one with the verdict. kDone if they agree, else kComm. ConfigError if there is nothing to compare: one rank
// that needs one pass.
ExitCode verify_parity(VerifyParityOptions options, const config::OptionSet& set);

}  // namespace ulmfit::stages
