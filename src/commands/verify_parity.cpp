#include "stages/verify_parity.h"

#include <algorithm>
#include <iostream>

#include "commands/commands.h"

namespace ulmfit::commands {

// ulmfit verify-parity [pretrain|finetune-lm|train-classifier] [options of that stage]
ExitCode verify_parity(const Arguments& arguments) {
  stages::VerifyParityOptions options;
  Arguments rest = arguments;
  options.command = "pretrain";
  if (!rest.empty() && !rest[0].starts_with("--")) {
    options.command = rest[0];
    rest.erase(rest.begin());
    if (std::find(kTrainingStages.begin(), kTrainingStages.end(), options.command) == kTrainingStages.end()) {
      throw ConfigError(str("verify-parity knows no stage '", options.command, "'; did you mean ",
                            config::nearest(options.command, kTrainingStages), "?"));
    }
  }
  config::OptionSet set("verify-parity");
  options.declare(set);
  const bool names_output = std::any_of(rest.begin(), rest.end(), [](const auto& a) { return a.starts_with("--output"); });
  if (!names_output) rest.emplace_back("--output=-");  // a stage needs one; nothing is written here
  if (set.parse(rest).help) {
    std::cout << set.help(
        "Shows that your ranks train as one rank does, with your configuration and on your machines:\n\n"
        "  mpirun -n 4 ulmfit verify-parity --config pretrain.cfg --corpus corpus\n"
        "  mpirun -n 4 ulmfit verify-parity train-classifier --config classifier.cfg --data data --from lm\n\n"
        "It takes the options of the stage (pretrain if none is named; the config.cfg of a run folder will do), trains\n"
        "a few steps of each unfreezing phase twice, on all ranks and on rank 0 alone, and compares: from a number of\n"
        "states one step must give the same loss (within 1e-4 nats) and the same gradients (within 1e-5 of each one's\n"
        "largest value). A language model trained by Adam must also keep its losses within 1e-4 nats through all steps;\n"
        "plain SGD at high rates multiplies rounding, and so does a classifier where it decides which of two equal values\n"
        "is the maximum over time: there only the single steps count, and a state that stands on such a kink is compared\n"
        "with weights nearby, and counted. With --reproducible every bit must be the same, through all steps. On one\n"
        "rank, --train.max-streams-per-pass compares passes with one pass. Nothing is written. Exit code 0: they agree;\n"
        "5: they do not, and the JSON lines on standard output say by how much, at which step, in which parameter.");
    return ExitCode::kDone;
  }
  return stages::verify_parity(options, set);
}

}  // namespace ulmfit::commands
