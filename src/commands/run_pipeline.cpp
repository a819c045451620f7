// run --config PIPELINE: a section a stage, in order.
#include <iostream>

#include "base/log.h"
#include "base/stop_signal.h"
#include "comm/launch.h"
#include "commands/commands.h"

namespace ulmfit::commands {
namespace {

constexpr std::string_view kIntroduction =
    "Runs the stages of a pipeline file in order, under mpirun on all its ranks. Each section is a command, such as\n"
    "[prepare-corpus], [pretrain], [prepare-labelled], [finetune-lm], [train-classifier], [evaluate]; its keys are the\n"
    "options of that command. A stage that is done is skipped, one that was interrupted goes on; a stage that fails ends\n"
    "the run with its exit code.";

struct RunOptions {
  std::string file;
  std::string restart_from;  // a section; empty: none

  void declare(config::OptionSet& set) {
    set.add("config", file, "the pipeline file");
    set.require("config");
    set.add("restart-from", restart_from, "train that stage and all after it anew; their folders are moved aside");
  }
};

const Entry& entry_of(const std::string& section, const std::string& file) {
  const Entry* found = find(all(), section);
  if (found == nullptr || found->make == nullptr) {
    throw ConfigError(str(file, ": section [", section, "] is no stage; expected names such as [pretrain]"));
  }
  return *found;
}

// The number of the section that is trained anew, with all after it; that of the sections: none.
std::size_t first_anew(const RunOptions& options, const std::vector<config::IniSection>& sections) {
  if (options.restart_from.empty()) return sections.size();
  std::string names;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    if (!entry_of(sections[i].name, options.file).trains) continue;
    if (sections[i].name == options.restart_from) return i;
    names += (names.empty() ? "" : ", ") + sections[i].name;
  }
  throw ConfigError(str("--restart-from=", options.restart_from, ": ", options.file,
                        " has no such stage that trains; it has ", names.empty() ? "none" : names));
}

// Reads the options of all sections before the first one runs: a mistake in the last would be found hours later.
std::vector<std::unique_ptr<Call>> read_calls(const RunOptions& options, const std::vector<config::IniSection>& sections,
                                              std::size_t anew) {
  std::vector<std::unique_ptr<Call>> calls;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const Entry& entry = entry_of(sections[i].name, options.file);
    Arguments arguments;
    for (const auto& [key, value] : sections[i].values) arguments.push_back(str("--", key, "=", value));
    if (i >= anew && entry.trains) arguments.emplace_back("--restart");
    try {
      calls.push_back(std::make_unique<Call>(entry, arguments));
    } catch (const ConfigError& e) {
      throw ConfigError(str(options.file, ", section [", sections[i].name, "]: ", e.what()));
    }
  }
  return calls;
}

}  // namespace

ExitCode run_pipeline(const Arguments& arguments) {
  RunOptions options;
  config::OptionSet set("run");
  options.declare(set);
  if (set.parse(arguments).help) {
    std::cout << set.help(kIntroduction);
    return ExitCode::kDone;
  }
  const auto sections = config::read_pipeline(options.file);
  const std::size_t anew = first_anew(options, sections);
  const auto calls = read_calls(options, sections, anew);
  // Before threads start; those of a stage that does not train, too.
  { const StopSignalScope first(comm::read_launch_environment().under_launcher); }
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const std::string& name = sections[i].name;
    const PipelineStep step{
        str("before stage ", name, " of ", options.file),
        str("; to train this stage and those after it anew: ulmfit run --config ", options.file, " --restart-from ", name)};
    const ExitCode code = calls[i]->run(&step);
    if (code == ExitCode::kStopped && i >= anew) log::info("run", "to go on leave --restart-from out: it begins anew");
    if (code != ExitCode::kDone) return code;
  }
  return ExitCode::kDone;
}

}  // namespace ulmfit::commands
