#include "comm/launch.h"

#include <c10/util/Exception.h>

#include <cstdlib>
#include <new>
#include <thread>

namespace ulmfit::comm {
namespace {

// An error that all ranks meet alike is reported once: rank 0 ends the others while they wait.
constexpr std::chrono::milliseconds kFirstWordOfRankZero{500};

constexpr const char* kHowToLaunch =
    "start all ranks with `mpirun -n N ulmfit ...` or `srun --mpi=pmix ulmfit ...`, one rank on purpose with `mpirun -n 1 "
    "...`";

std::optional<int> read_count(const char* text) {
  if (text == nullptr) return std::nullopt;
  char* end = nullptr;
  const long count = std::strtol(text, &end, 10);
  if (end == text || *end != '\0' || count < 1 || count > 1'000'000) return std::nullopt;
  return static_cast<int>(count);
}

[[noreturn]] void end_all(Communicator& comm, const Failure& failure) {
  if (comm.rank() != 0) std::this_thread::sleep_for(kFirstWordOfRankZero);
  comm.abort(failure.code, failure.message);
  std::abort();  // not reached; g++ 12 forgets that a virtual function is [[noreturn]]
}

Failure out_of_memory(const std::string& what) {
  return {ExitCode::kConfig,
          str("not enough memory: ", what, "; have less at once, by what the command has of --train.max-streams-per-pass, ",
              "--train.streams, --batch-size and --max-line-bytes (ulmfit plan tells what a model needs)")};
}

// c10 has no type for what its allocator of CPU memory throws.
bool tells_of_memory(const std::string& message) {
  return message.find("can't allocate memory") != std::string::npos ||
         message.find("not enough memory") != std::string::npos;
}

}  // namespace

Failure current_failure() {
  try {
    throw;
  } catch (const Error& e) {
    return {e.code(), e.what()};
  } catch (const std::bad_alloc& e) {
    return out_of_memory(e.what());
  } catch (const c10::OutOfMemoryError& e) {
    return out_of_memory(e.what_without_backtrace());
  } catch (const c10::Error& e) {
    const std::string what = e.what_without_backtrace();
    return tells_of_memory(what) ? out_of_memory(what) : Failure{ExitCode::kFault, what};
  } catch (const std::exception& e) {
    return {ExitCode::kFault, e.what()};
  }
}

LaunchFacts read_launch_environment(const std::function<const char*(const char*)>& get) {
  LaunchFacts facts;
  const auto take_count = [&](const char* variable) {
    if (facts.meant_ranks) return;
    facts.meant_ranks = read_count(get(variable));
    if (facts.meant_ranks) facts.variable = variable;
  };
  take_count("OMPI_COMM_WORLD_SIZE");
  take_count("PMI_SIZE");
  facts.under_launcher = facts.meant_ranks || get("PMIX_RANK") != nullptr || get("PMI_RANK") != nullptr;
  take_count("SLURM_STEP_NUM_TASKS");
  if (!facts.under_launcher) take_count("SLURM_NTASKS");
  return facts;
}

LaunchFacts read_launch_environment() {
  return read_launch_environment([](const char* name) { return std::getenv(name); });
}

void require_launcher(const LaunchFacts& facts) {
  if (facts.under_launcher || facts.meant_ranks.value_or(1) == 1) return;
  throw CommError(str("starting the ranks: ", facts.variable, " is ", *facts.meant_ranks,
                      ", but this process was started alone, without MPI; ", kHowToLaunch));
}

void require_meant_size(const LaunchFacts& facts, int size) {
  if (facts.meant_ranks.value_or(size) == size) return;
  throw CommError(str("starting the ranks: ", facts.variable, " is ", *facts.meant_ranks, ", but MPI sees ", size,
                      "; the launcher belongs to another MPI than this program; ", kHowToLaunch));
}

ExitCode run_on_ranks(const LaunchOptions& options, const std::function<ExitCode(Communicator&)>& body) {
  const std::unique_ptr<Communicator> comm = make_communicator(options);
  if (!read_launch_environment().under_launcher) return body(*comm);
  try {
    const ExitCode code = body(*comm);
    comm->finish();
    return code;
  } catch (const std::exception&) {
    end_all(*comm, current_failure());
  }
}

}  // namespace ulmfit::comm
