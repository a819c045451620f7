#include "commands/call.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/output.h"
#include "base/stop_signal.h"
#include "comm/launch.h"
#include "comm/solo_communicator.h"
#include "stages/compute.h"
#include "stages/run_identity.h"

namespace ulmfit::commands {
namespace {

// Of ranks that do not train: one reads and writes files of any size, or waits for lines, while others stand at the next
// meeting. A rank that dies ends the job all the same.
constexpr std::chrono::hours kDeadline{24};

bool any_rank_stopped(comm::Communicator& comm) {
  at::Tensor stopped = at::scalar_tensor(static_cast<std::int64_t>(stop_requested()), at::kLong);
  comm.all_reduce(stopped, comm::ReduceOp::kMax);
  return stopped.item<std::int64_t>() != 0;
}

}  // namespace

Call::Call(const Entry& entry, Arguments arguments)
    : entry_(entry),
      command_(entry.make()),
      set_(entry.under.empty() ? std::string(entry.name) : str(entry.under, " ", entry.name)) {
  command_->take_words(arguments);
  command_->declare(set_);
  parsed_ = set_.parse(std::move(arguments));
}

std::string Call::help() const { return set_.help(command_->introduction(), parsed_.help_all); }

void print(const Outcome& outcome) {
  std::cerr << outcome.table << std::flush;
  // mpirun gives its ranks a terminal of its own.
  const bool terminal = isatty(STDOUT_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
  if (outcome.table_tells_all && terminal && !comm::read_launch_environment().under_launcher) return;
  write_output(std::cout, outcome.result);
  flush_output(std::cout);
}

Outcome Call::work(comm::Communicator& comm, const PipelineStep* step) {
  if (step != nullptr) {
    log::close_file();  // that of the stage before
    if (any_rank_stopped(comm)) {
      if (comm.rank() == 0) tell_job_script_of_stop(step->place);
      return {.code = ExitCode::kStopped};
    }
    log::info("run", str("stage ", entry_.name));
  }
  try {
    if (command_->on_all_ranks()) return command_->run(set_, comm);
    Outcome outcome;
    if (comm.rank() == 0) {
      comm::SoloCommunicator alone(comm.device(), comm.processor());
      outcome = command_->run(set_, alone);
    }
    at::Tensor code = at::scalar_tensor(static_cast<std::int64_t>(outcome.code), at::kLong);
    comm.broadcast(code, 0);
    outcome.code = static_cast<ExitCode>(code.item<std::int64_t>());
    return outcome;
  } catch (const stages::RunChanged& e) {
    if (step == nullptr) throw;
    throw ConfigError(str(e.found(), "\n", step->to_restart));
  }
}

Outcome Call::run(const PipelineStep* step) {
  const comm::LaunchFacts launch = comm::read_launch_environment();
  std::optional<StopSignalScope> stop_after_a_step;
  if (entry_.trains) stop_after_a_step.emplace(launch.under_launcher);
  Outcome outcome;
  const auto body = [&](comm::Communicator& comm) {
    outcome = work(comm, step);
    if (step != nullptr) outcome.table_tells_all = true;  // the log does
    if (comm.rank() == 0) print(outcome);
    return outcome.code;
  };
  if (const stages::ComputeOptions* wanted = command_->compute()) {
    stages::ComputeOptions compute = *wanted;
    if (!command_->on_all_ranks()) compute.deadline = std::chrono::duration<double>(kDeadline).count();
    outcome.code = stages::on_ranks(compute, body);
    return outcome;
  }
  // One process needs no launcher for what it does alone, whatever the job around it is.
  const bool launched = launch.under_launcher && launch.meant_ranks.value_or(2) > 1;
  if (!launched && !command_->on_all_ranks()) {
    comm::SoloCommunicator alone;
    body(alone);
  } else {
    outcome.code = on_waiting_ranks(body);
  }
  return outcome;
}

ExitCode call(const Entry& entry, const Arguments& arguments) {
  if (entry.drive != nullptr) return entry.drive(arguments);
  Call one(entry, arguments);
  if (!one.wants_help()) return one.run().code;
  std::cout << one.help();
  return ExitCode::kDone;
}

bool read_or_help(config::OptionSet& set, const Arguments& arguments, std::string_view introduction) {
  const auto parsed = set.parse(arguments);
  if (parsed.help) std::cout << set.help(introduction, parsed.help_all);
  return parsed.help;
}

bool wants_list(const Arguments& arguments) {
  return arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h";
}

ExitCode print_list(const Arguments& arguments, const std::string& text) {
  (arguments.empty() ? std::cerr : std::cout) << text;
  return arguments.empty() ? ExitCode::kConfig : ExitCode::kDone;
}

ExitCode on_waiting_ranks(const std::function<ExitCode(comm::Communicator&)>& body) {
  return comm::run_on_ranks({at::kCPU, kDeadline}, body);
}

const Entry* find(const std::vector<Entry>& entries, std::string_view name) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

const Entry& require(const std::vector<Entry>& entries, const std::string& name, std::string_view kind,
                     std::string_view help) {
  if (const Entry* found = find(entries, name)) return *found;
  std::vector<std::string> names;
  for (const auto& entry : entries) names.emplace_back(entry.name);
  throw ConfigError(
      str("there is no ", kind, " '", name, "'; did you mean ", config::nearest(name, names), "? (", help, " lists all)"));
}

std::string list(const std::vector<Entry>& entries) {
  std::size_t width = 0;
  for (const auto& entry : entries) width = std::max(width, entry.name.size());
  std::string text;
  for (const auto& entry : entries) {
    text += str("  ", entry.name, std::string(width + 2 - entry.name.size(), ' '), entry.summary, '\n');
  }
  return text;
}

}  // namespace ulmfit::commands
