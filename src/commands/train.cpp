// pretrain, finetune-lm, train-classifier.
#include <iostream>

#include "commands/commands.h"
#include "stages/train_classifier.h"
#include "stages/train_lm.h"

namespace ulmfit::commands {

ExitCode pretrain(const Arguments& arguments) {
  stages::TrainLmOptions options;
  config::OptionSet set("pretrain");
  options.declare_pretrain(set);
  if (set.parse(arguments).help) {
    std::cout << set.help(
        "Trains an AWD-LSTM language model on a prepared corpus, alone or data-parallel: mpirun -n 4 ulmfit pretrain ...\n"
        "Started again with the same options it goes on from its last checkpoint. USR2 saves and stops (exit code 75).");
    return ExitCode::kDone;
  }
  return stages::train_lm("pretrain", options, set);
}

ExitCode finetune_lm(const Arguments& arguments) {
  stages::TrainLmOptions options;
  config::OptionSet set("finetune-lm");
  options.declare_finetune(set);
  if (set.parse(arguments).help) {
    std::cout << set.help(
        "Tunes a language model on the target text: words that it knows keep their embedding, new ones start as the mean; "
        "each\n"
        "layer group trains with its own rate (discriminative), which follows a slanted triangle.");
    return ExitCode::kDone;
  }
  return stages::train_lm("finetune-lm", options, set);
}

ExitCode train_classifier(const Arguments& arguments) {
  stages::TrainClassifierOptions options;
  config::OptionSet set("train-classifier");
  options.declare(set);
  if (set.parse(arguments).help) {
    std::cout << set.help(
        "Trains a classifier on the encoder of a tuned language model: concat pooling over whole documents, gradual "
        "unfreezing,\n"
        "discriminative rates, slanted triangular schedule.");
    return ExitCode::kDone;
  }
  return stages::train_classifier(options, set);
}

}  // namespace ulmfit::commands
