// run --config PIPELINE: a section a stage, in order.
#include <algorithm>
#include <iostream>

#include "base/log.h"
#include "comm/launch.h"
#include "commands/commands.h"
#include "config/option_set.h"

namespace ulmfit::commands {

ExitCode run_pipeline(const Arguments& arguments) {
  // The pipeline file is no config file of this command's own options, hence not read by an OptionSet.
  const bool help = std::find(arguments.begin(), arguments.end(), "--help") != arguments.end();
  std::string file;
  if (arguments.size() == 1 && arguments[0].starts_with("--config=")) file = arguments[0].substr(9);
  if (arguments.size() == 2 && arguments[0] == "--config") file = arguments[1];
  if (help || file.empty()) {
    (help ? std::cout : std::cerr)
        << "Usage: ulmfit run --config PIPELINE\n\n"
           "Runs the stages of a pipeline file in order. Each section is a command, such as [prepare-corpus], [pretrain],\n"
           "[prepare-labelled], [finetune-lm], [train-classifier], [evaluate]; its keys are the options of that command. A "
           "stage\n"
           "that is done is skipped, one that was interrupted goes on; a stage that fails ends the run with its exit "
           "code.\n";
    return help ? ExitCode::kDone : ExitCode::kConfig;
  }
  if (comm::read_launch_environment().under_launcher) {
    throw ConfigError(
        "ulmfit run drives one process; to use several ranks, start the stages themselves: mpirun -n 4 ulmfit pretrain "
        "...");
  }
  for (const auto& section : config::read_pipeline(file)) {
    const auto command = std::find_if(all().begin(), all().end(), [&](const Command& c) { return c.name == section.name; });
    if (command == all().end() || section.name == "run") {
      throw ConfigError(str(file, ": section [", section.name, "] is no stage; expected names such as [pretrain]"));
    }
    Arguments options;
    for (const auto& [key, value] : section.values) options.push_back("--" + key + "=" + value);
    log::info("run", "stage " + section.name);
    const ExitCode code = command->run(options);
    if (code != ExitCode::kDone) return code;
  }
  return ExitCode::kDone;
}

}  // namespace ulmfit::commands
