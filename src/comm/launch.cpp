#include "comm/launch.h"

#include <c10/util/Exception.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <new>
#include <string_view>
#include <thread>
#include <utility>

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

LocalPlace read_local_place(const std::function<const char*(const char*)>& get) {
  constexpr std::pair<const char*, const char*> kNames[] = {{"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
                                                            {"MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
                                                            {"SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"}};
  for (const auto& [rank_name, size_name] : kNames) {
    const char* rank = get(rank_name);
    const char* size = get(size_name);
    if (rank == nullptr || size == nullptr) continue;
    // Slurm writes "2(x3),1": so many on each node. The first is right but for the last nodes of uneven steps.
    const LocalPlace place{std::atoi(rank), std::atoi(size)};
    if (place.rank >= 0 && place.rank < place.size) return place;
  }
  return {};
}

LocalPlace read_local_place() {
  return read_local_place([](const char* name) { return std::getenv(name); });
}

std::string launch_name(const std::function<const char*(const char*)>& get) {
  for (const char* name : {"PMIX_NAMESPACE", "PMI_JOBID", "OMPI_MCA_ess_base_jobid"}) {
    if (const char* value = get(name)) return value;
  }
  const char* job = get("SLURM_JOB_ID");
  const char* step = get("SLURM_STEP_ID");
  return job != nullptr && step != nullptr ? str(job, '.', step) : "";
}

std::string launch_name() {
  return launch_name([](const char* name) { return std::getenv(name); });
}

std::vector<std::string> environment_without_launcher(const std::vector<std::string>& environment) {
  // Open MPI's mpirun speaks to its ranks by some of the names that users set parameters with.
  constexpr std::string_view kKept[] = {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_MCA_"};
  constexpr std::string_view kDropped[] = {"OMPI_MCA_ess",
                                           "OMPI_MCA_orte",
                                           "OMPI_MCA_pmix",
                                           "OMPI_MCA_initial_wdir",
                                           "OMPI_MCA_shmem_RUNTIME",
                                           "OMPI_MCA_mpi_oversubscribe",
                                           "OMPI_MCA_mca_base_component_path",  // these three by Open MPI 5
                                           "OMPI_MCA_num_procs",
                                           "OMPI_MCA_cpu_type",
                                           "PMIX_",
                                           "PMI_",
                                           "PRTE_",
                                           "HYDI_",
                                           "HYDRA_",
                                           "MPI_LOCAL",
                                           "SLURM_STEP",
                                           "SLURM_NTASKS",
                                           "SLURM_NPROCS",
                                           "SLURM_PROCID",
                                           "SLURM_LOCALID",
                                           "SLURM_NODEID",
                                           "SLURM_TASK_PID",
                                           "SLURM_GTIDS",
                                           "SLURM_LAUNCH_",
                                           "SLURM_SRUN_",
                                           "SLURM_CPU_BIND",
                                           "SLURM_MPI_TYPE",
                                           "SLURM_PMIX"};
  std::vector<std::string> kept;
  for (const std::string& entry : environment) {
    const auto begins = [&](std::string_view prefix) { return entry.starts_with(prefix); };
    if (std::any_of(std::begin(kDropped), std::end(kDropped), begins)) continue;
    if (entry.starts_with("OMPI_") && std::none_of(std::begin(kKept), std::end(kKept), begins)) continue;
    kept.push_back(entry);
  }
  return kept;
}

std::vector<std::string> environment_without_launcher() {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  return environment_without_launcher(environment);
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
