// run --config PIPELINE: a section a stage, in order.
#include <iostream>

#include "commands/commands.h"
#include "commands/stages_in_order.h"

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

// The number of the section that is trained anew, with all after it; that of the sections: none.
std::size_t first_anew(const RunOptions& options, const std::vector<config::IniSection>& sections) {
  if (options.restart_from.empty()) return sections.size();
  std::string names;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    if (!stage_entry(sections[i].name, options.file).trains) continue;
    if (sections[i].name == options.restart_from) return i;
    names += (names.empty() ? "" : ", ") + sections[i].name;
  }
  throw ConfigError(str("--restart-from=", options.restart_from, ": ", options.file,
                        " has no such stage that trains; it has ", names.empty() ? "none" : names));
}

}  // namespace

ExitCode run_pipeline(const Arguments& arguments) {
  RunOptions options;
  config::OptionSet set("run");
  options.declare(set);
  if (const auto parsed = set.parse(arguments); parsed.help) {
    std::cout << set.help(kIntroduction, parsed.help_all);
    return ExitCode::kDone;
  }
  const auto sections = config::read_pipeline(options.file);
  return run_stages(sections, {.file = options.file, .anew = first_anew(options, sections)});
}

}  // namespace ulmfit::commands
