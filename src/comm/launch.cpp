#include "comm/launch.h"

#include <cstdlib>
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

[[noreturn]] void end_all(Communicator& comm, ExitCode code, const char* why) {
  if (comm.rank() != 0) std::this_thread::sleep_for(kFirstWordOfRankZero);
  comm.abort(code, why);
  std::abort();  // not reached; g++ 12 forgets that a virtual function is [[noreturn]]
}

}  // namespace

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
  if (!facts.under_launcher && facts.meant_ranks.value_or(1) > 1) {
    throw CommError(str("starting the ranks: ", facts.variable, " is ", *facts.meant_ranks,
                        ", but this process was started alone, without MPI; ", kHowToLaunch));
  }
  return facts;
}

LaunchFacts read_launch_environment() {
  return read_launch_environment([](const char* name) { return std::getenv(name); });
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
  } catch (const Error& error) {
    end_all(*comm, error.code(), error.what());
  } catch (const std::exception& error) {
    end_all(*comm, ExitCode::kFault, error.what());
  }
}

}  // namespace ulmfit::comm
