// From a process to a rank: how this process was started, and the frame in which work runs on all ranks.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace ulmfit::comm {

// What the environment says about how this process was started.
struct LaunchFacts {
  bool under_launcher = false;     // mpirun, or srun with a PMI: MPI can be initialised
  std::optional<int> meant_ranks;  // the number of ranks that the launcher speaks of
  std::string variable;            // the variable that says so
};

// Reads OMPI_COMM_WORLD_SIZE, PMI_SIZE, PMIX_RANK, PMI_RANK and Slurm's task counts by `get` (nullptr: unset).
LaunchFacts read_launch_environment(const std::function<const char*(const char*)>& get);
LaunchFacts read_launch_environment();

// Of the processes that the launcher has started on this machine, which is this one? Alone: 0 of 1.
struct LocalPlace {
  int rank = 0;
  int size = 1;
};
// Reads OMPI_COMM_WORLD_LOCAL_RANK, MPI_LOCALRANKID, SLURM_LOCALID and the sizes that go with them.
LocalPlace read_local_place(const std::function<const char*(const char*)>& get);
LocalPlace read_local_place();

// Names the job of the launcher that has started this process, alike on all its ranks; "" alone.
std::string launch_name(const std::function<const char*(const char*)>& get);
std::string launch_name();

// The entries NAME=VALUE of `environment` without those that a launcher or Slurm has made for this rank: a program that is
// started with them begins as if from the job's shell, alone or under a launcher of its own. What users set for Open MPI,
// and what Slurm tells of the whole job, stays, but for its number of tasks.
std::vector<std::string> environment_without_launcher(const std::vector<std::string>& environment);
std::vector<std::string> environment_without_launcher();  // that of this process

// CommError if Slurm meant several ranks and each of them is alone (srun without --mpi, a batch script without mpirun).
void require_launcher(const LaunchFacts& facts);

// CommError if MPI brought together another number of ranks than the launcher meant: N ranks alone instead of one of N.
void require_meant_size(const LaunchFacts& facts, int size);

struct LaunchOptions {
  at::DeviceType device = at::kCPU;             // the CPU or CUDA: then NCCL, a GPU a rank (gpu_choice.h)
  std::chrono::duration<double> deadline{600};  // for one operation, in which all ranks arrive, or of a GPU
};

// The communicator for how this process was started; alone, one that does not touch MPI. Sets the rank of log lines.
// CommError if the launcher meant another number of ranks than came together, or there is none (require_launcher);
// ConfigError for CUDA in a build without it. Collective.
std::unique_ptr<Communicator> make_communicator(const LaunchOptions& options);

struct Failure {
  ExitCode code = ExitCode::kFault;
  std::string message;
};
// Of the exception that is being handled: the code and the message of an error of base/error.h; for memory that could not
// be had, on the CPU or a GPU, what to lower; for anything else, kFault.
Failure current_failure();

// Runs `body` on this rank, on a communicator of its own, and returns its exit code; may be called several times. Under a
// launcher, an exception on one rank ends all of them within seconds, with the exit code of the error (1 if it is not one
// of base/error.h); alone, it is passed on. Collective.
ExitCode run_on_ranks(const LaunchOptions& options, const std::function<ExitCode(Communicator&)>& body);

// Ends what run_on_ranks() has started with the launcher: the last thing that a process does when all went well. Without
// it the launcher ends the job.
void leave_ranks();

}  // namespace ulmfit::comm
