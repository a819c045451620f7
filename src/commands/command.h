// A subcommand of ulmfit: its options, its help text, its work. To add one: a file with a class like those here, and its
// row in commands.cpp. What is common to all (reading options, help, ranks, printing) is in call.h.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "config/option_set.h"
#include "stages/options.h"

namespace ulmfit::commands {

using Arguments = std::vector<std::string>;

// How a command ended, the same on all ranks, and what rank 0 prints.
struct Outcome {
  ExitCode code = ExitCode::kDone;
  std::string result{};          // standard output, mostly lines of JSON
  std::string table{};           // standard error, for people
  bool table_tells_all = false;  // on a terminal, which shows both, `result` is then left out
  double planned_seconds = 0;    // that the steps of a training would take; of --dry-run
};

// Of one line of JSON.
inline Outcome outcome(const nlohmann::json& line, std::string table = "") {
  return {.result = line.dump() + "\n", .table = std::move(table)};
}

class Command {
 public:
  Command() = default;
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  // Takes words that stand before the options out of `arguments`; called before declare().
  virtual void take_words(Arguments& /*arguments*/) {}
  virtual void declare(config::OptionSet& set) = 0;
  virtual std::string_view introduction() const = 0;  // of the help text

  // Device, threads and so on for what computes with torch; null for what does not: there ranks may meet far apart in time.
  virtual const stages::ComputeOptions* compute() const { return nullptr; }
  // Whether the launcher's ranks share the work. Else rank 0 does it, and the others wait for it.
  virtual bool on_all_ranks() const { return false; }
  // The command's options are read. `comm`: all ranks, or the one that works.
  virtual Outcome run(const config::OptionSet& set, comm::Communicator& comm) = 0;
};

}  // namespace ulmfit::commands
