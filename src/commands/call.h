// One call of a command, from its arguments to its exit code: the one place that reads options, starts ranks and prints.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "commands/command.h"

namespace ulmfit::commands {

// A row of the list of commands. Either makes a command, or runs others by itself (`drive`).
struct Entry {
  std::string_view name;
  std::string_view summary;  // one line for `ulmfit --help`
  std::unique_ptr<Command> (*make)() = nullptr;
  bool trains = false;  // a stage, in a run folder: stops on a signal after saving
  ExitCode (*drive)(const Arguments& arguments) = nullptr;
  std::string_view under{};  // the command that it is a kind of: "bench"
};

// What a pipeline adds to the call of one of its stages.
struct PipelineStep {
  std::string place;       // "before stage finetune-lm of project.cfg": where a signal stops it
  std::string to_restart;  // what to do when settings or inputs have changed since the stage was trained
};

class Call {
 public:
  // Reads and checks the options; `entry` makes a command. Throws ConfigError.
  Call(const Entry& entry, Arguments arguments);

  bool wants_help() const { return parsed_.help; }
  std::string help() const;

  // Does the work on the ranks of the launcher, prints, and returns what came of it, its exit code the same on all ranks.
  // Under a launcher an error ends them all (comm/launch.h), else it is thrown. Collective.
  Outcome run(const PipelineStep* step = nullptr);

 private:
  Outcome work(comm::Communicator& comm, const PipelineStep* step);

  const Entry& entry_;
  std::unique_ptr<Command> command_;
  config::OptionSet set_;
  config::OptionSet::Parsed parsed_;
};

void print(const Outcome& outcome);

// Calls the command, or prints its help.
ExitCode call(const Entry& entry, const Arguments& arguments);

// Of a command that runs others: reads its options. True if they ask for help, which is then printed. Throws ConfigError.
bool read_or_help(config::OptionSet& set, const Arguments& arguments, std::string_view introduction);

// Whether `arguments` name no command, and ask for the list of them at most.
bool wants_list(const Arguments& arguments);
// Prints it: where it was asked for it is the result, else a mistake is told.
ExitCode print_list(const Arguments& arguments, const std::string& text);

// Runs `body` on the ranks of the launcher, which may meet far apart in time. Collective; errors as of
// comm::run_on_ranks().
ExitCode on_waiting_ranks(const std::function<ExitCode(comm::Communicator&)>& body);

// The row with that name, or null.
const Entry* find(const std::vector<Entry>& entries, std::string_view name);
// The row with that name. Without one, ConfigError: there is no `kind` of that name, which is the nearest, and that
// `help` lists all.
const Entry& require(const std::vector<Entry>& entries, const std::string& name, std::string_view kind,
                     std::string_view help);

// "  name  summary" by row.
std::string list(const std::vector<Entry>& entries);

}  // namespace ulmfit::commands
