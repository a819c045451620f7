// run --config PIPELINE: a section a stage, in order.
#include <algorithm>
#include <iostream>

#include "base/log.h"
#include "base/stop_signal.h"
#include "comm/launch.h"
#include "commands/commands.h"
#include "config/option_set.h"
#include "stages/run_identity.h"

namespace ulmfit::commands {
namespace {

struct RunArguments {
  bool help = false;
  std::string file;
  std::string restart_from;  // a section; empty: none
};

// The pipeline file is no config file of this command's own options, hence not read by an OptionSet.
RunArguments read_arguments(const Arguments& arguments) {
  RunArguments read;
  const std::vector<std::string> known{"config", "restart-from", "help"};
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const auto equals = std::min(argument.find('='), argument.size());
    const std::string name = argument.starts_with("--") ? argument.substr(2, equals - 2) : "";
    if (name == "help") {
      read.help = true;
      continue;
    }
    if (name != "config" && name != "restart-from") {
      throw ConfigError(str("ulmfit run has no option ", argument, "; did you mean --", config::nearest(name, known), "?"));
    }
    const bool apart = equals == argument.size();
    if (apart && i + 1 == arguments.size()) throw ConfigError(str("--", name, " needs a value: --", name, "=VALUE"));
    (name == "config" ? read.file : read.restart_from) = apart ? arguments[++i] : argument.substr(equals + 1);
  }
  return read;
}

bool trains(const std::string& section) {
  return std::find(kTrainingStages.begin(), kTrainingStages.end(), section) != kTrainingStages.end();
}

const Command& command_of(const std::string& section, const std::string& file) {
  const auto found = std::find_if(all().begin(), all().end(), [&](const Command& c) { return c.name == section; });
  if (found == all().end() || section == "run") {
    throw ConfigError(str(file, ": section [", section, "] is no stage; expected names such as [pretrain]"));
  }
  return *found;
}

void check_restart(const RunArguments& run, const std::vector<config::IniSection>& sections) {
  if (run.restart_from.empty()) return;
  std::string names;
  for (const auto& section : sections) {
    if (trains(section.name)) names += (names.empty() ? "" : ", ") + section.name;
    if (trains(section.name) && section.name == run.restart_from) return;
  }
  throw ConfigError(str("--restart-from=", run.restart_from, ": ", run.file, " has no such stage that trains; it has ",
                        names.empty() ? "none" : names));
}

Arguments options_of(const config::IniSection& section) {
  Arguments options;
  for (const auto& [key, value] : section.values) options.push_back("--" + key + "=" + value);
  return options;
}

// Before the first stage runs: a mistake in the last one would be found hours later.
void check_sections(const std::vector<config::IniSection>& sections, const std::string& file) {
  for (const auto& section : sections) {
    Arguments options = options_of(section);
    options.push_back(config::kOnlyCheckOptions);
    try {
      command_of(section.name, file).run(options);
    } catch (const config::OptionsChecked&) {
    } catch (const ConfigError& e) {
      throw ConfigError(str(file, ", section [", section.name, "]: ", e.what()));
    }
  }
}

ExitCode run_section(const config::IniSection& section, const RunArguments& run, bool restart) {
  Arguments options = options_of(section);
  if (restart) options.emplace_back("--restart");
  log::close_file();  // that of the stage before
  log::info("run", "stage " + section.name);
  try {
    return command_of(section.name, run.file).run(options);
  } catch (const stages::InputsChanged& e) {
    throw ConfigError(str(e.what(), "; to train this stage and those after it anew: ulmfit run --config ", run.file,
                          " --restart-from ", section.name));
  }
}

}  // namespace

ExitCode run_pipeline(const Arguments& arguments) {
  const RunArguments run = read_arguments(arguments);
  if (run.help || run.file.empty()) {
    (run.help ? std::cout : std::cerr)
        << "Usage: ulmfit run --config PIPELINE [--restart-from STAGE]\n\n"
           "Runs the stages of a pipeline file in order. Each section is a command, such as [prepare-corpus], [pretrain],\n"
           "[prepare-labelled], [finetune-lm], [train-classifier], [evaluate]; its keys are the options of that command. A "
           "stage\n"
           "that is done is skipped, one that was interrupted goes on; a stage that fails ends the run with its exit "
           "code.\n\n"
           "  --restart-from=STAGE  train that stage and all after it anew; their folders are moved aside\n";
    return run.help ? ExitCode::kDone : ExitCode::kConfig;
  }
  if (comm::read_launch_environment().under_launcher) {
    throw ConfigError(
        "ulmfit run drives one process; to use several ranks, start the stages themselves: mpirun -n 4 ulmfit pretrain "
        "...");
  }
  const auto sections = config::read_pipeline(run.file);
  check_sections(sections, run.file);
  check_restart(run, sections);
  { const StopSignalScope before_threads_start(/*under_launcher=*/false); }  // those of a stage that does not train, too
  bool restart = false;
  for (const auto& section : sections) {
    if (stop_requested()) {
      tell_job_script_of_stop(str("before stage ", section.name, " of ", run.file));
      return ExitCode::kStopped;
    }
    restart = restart || section.name == run.restart_from;
    const ExitCode code = run_section(section, run, restart && trains(section.name));
    if (code == ExitCode::kStopped && restart) log::info("run", "to go on leave --restart-from out: it begins anew");
    if (code != ExitCode::kDone) return code;
  }
  return ExitCode::kDone;
}

}  // namespace ulmfit::commands
