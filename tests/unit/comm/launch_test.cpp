#include "comm/launch.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <new>
#include <vector>

namespace ulmfit::comm {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

LaunchFacts facts_of(const std::map<std::string, std::string>& environment) {
  return read_launch_environment([&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST(Launch, AnOrdinaryProcessIsAlone) {
  const LaunchFacts facts = facts_of({});
  EXPECT_FALSE(facts.under_launcher);
  EXPECT_FALSE(facts.meant_ranks);
}

TEST(Launch, MpirunSaysHowMany) {
  const LaunchFacts facts = facts_of({{"OMPI_COMM_WORLD_SIZE", "4"}, {"PMIX_RANK", "0"}});
  EXPECT_TRUE(facts.under_launcher);
  EXPECT_EQ(facts.meant_ranks, 4);
  EXPECT_EQ(facts.variable, "OMPI_COMM_WORLD_SIZE");
}

TEST(Launch, MpirunInsideASlurmJobCounts) {
  // mpirun starts one daemon a node by srun, so the step's count is the number of nodes.
  const LaunchFacts facts = facts_of({{"OMPI_COMM_WORLD_SIZE", "8"}, {"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_NTASKS", "8"}});
  EXPECT_EQ(facts.meant_ranks, 8);
}

TEST(Launch, SrunWithPmixTakesTheStepsCount) {
  const LaunchFacts facts = facts_of({{"PMIX_RANK", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_NTASKS", "16"}});
  EXPECT_TRUE(facts.under_launcher);
  EXPECT_EQ(facts.meant_ranks, 2);
}

TEST(Launch, SrunWithoutPmiIsRefused) {
  EXPECT_THAT(
      [] {
        require_launcher(facts_of({{"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"}}));
      },
      ThrowsMessage<CommError>(
          AllOf(HasSubstr("SLURM_STEP_NUM_TASKS is 2"), HasSubstr("srun --mpi=pmix"), HasSubstr("mpirun -n"))));
}

TEST(Launch, ABatchScriptThatForgotTheLauncherIsRefused) {
  EXPECT_THAT(
      [] {
        require_launcher(facts_of({{"SLURM_NTASKS", "4"}}));
      },
      ThrowsMessage<CommError>(HasSubstr("SLURM_NTASKS is 4")));
}

TEST(Launch, OneTaskUnderSlurmNeedsNoMpi) {
  const LaunchFacts facts = facts_of({{"SLURM_NTASKS", "1"}, {"SLURM_STEP_NUM_TASKS", "1"}});
  EXPECT_FALSE(facts.under_launcher);
  EXPECT_NO_THROW(require_launcher(facts));
}

TEST(Launch, NonsenseInTheEnvironmentIsNoCount) {
  EXPECT_FALSE(facts_of({{"SLURM_NTASKS", "many"}}).meant_ranks);
  EXPECT_FALSE(facts_of({{"SLURM_NTASKS", "4x"}}).meant_ranks);
  EXPECT_FALSE(facts_of({{"SLURM_NTASKS", ""}}).meant_ranks);
}

TEST(Launch, SingletonsOfAnotherMpiAreFound) {
  const LaunchFacts facts = facts_of({{"PMI_SIZE", "4"}, {"PMI_RANK", "2"}});
  EXPECT_NO_THROW(require_meant_size(facts, 4));
  EXPECT_THAT([&] { require_meant_size(facts, 1); },
              ThrowsMessage<CommError>(AllOf(HasSubstr("PMI_SIZE is 4"), HasSubstr("MPI sees 1"))));
}

TEST(Launch, UnknownCountIsAccepted) { EXPECT_NO_THROW(require_meant_size(facts_of({{"PMIX_RANK", "0"}}), 3)); }

TEST(Launch, AloneTheBodyRunsAndItsErrorIsPassedOn) {
  EXPECT_EQ(run_on_ranks({}, [](Communicator& comm) { return comm.size() == 1 ? ExitCode::kStopped : ExitCode::kDone; }),
            ExitCode::kStopped);
  EXPECT_THROW(run_on_ranks({}, [](Communicator&) -> ExitCode { throw DivergedError("the loss is nan"); }), DivergedError);
}

TEST(Launch, AGpuIsRefusedWhereThereIsNone) {
  if (at::hasCUDA()) GTEST_SKIP() << "this machine has a GPU";
  LaunchOptions options;
  options.device = at::kCUDA;
  EXPECT_THAT([&] { make_communicator(options); }, ThrowsMessage<ConfigError>(HasSubstr("--device cpu")));
}

Failure failure_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const std::exception&) {
    return current_failure();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(CurrentFailure, HasTheCodeOfTheError) {
  EXPECT_EQ(failure_of([] { throw DataError("shard 12 is missing"); }).code, ExitCode::kData);
  EXPECT_EQ(failure_of([] { throw DataError("shard 12 is missing"); }).message, "shard 12 is missing");
  EXPECT_EQ(failure_of([] { throw std::runtime_error("out of cheese"); }).code, ExitCode::kFault);
  EXPECT_EQ(failure_of([] { TORCH_CHECK(false, "sizes differ"); }).code, ExitCode::kFault);
}

TEST(CurrentFailure, OfMemoryTellsWhatToLower) {
  const std::vector<std::function<void()>> ways{
      [] { throw std::bad_alloc(); },
      [] {
        at::empty({std::int64_t{1} << 50});
      },  // the allocator throws: no library has touched the flag that makes it abort
      [] { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory"); },
  };
  for (const auto& way : ways) {
    const Failure failure = failure_of(way);
    EXPECT_EQ(failure.code, ExitCode::kConfig) << failure.message;
    EXPECT_THAT(failure.message, AllOf(HasSubstr("not enough memory: "), HasSubstr("--train.max-streams-per-pass")));
  }
}

TEST(LocalPlace, IsReadFromTheLauncherThatGaveIt) {
  const auto place_of = [](const std::map<std::string, std::string>& environment) {
    const LocalPlace place = read_local_place([&](const char* name) {
      const auto found = environment.find(name);
      return found == environment.end() ? nullptr : found->second.c_str();
    });
    return std::pair(place.rank, place.size);
  };
  EXPECT_EQ(place_of({}), std::pair(0, 1));
  EXPECT_EQ(place_of({{"OMPI_COMM_WORLD_LOCAL_RANK", "2"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}}), std::pair(2, 4));
  EXPECT_EQ(place_of({{"SLURM_LOCALID", "1"}, {"SLURM_STEP_TASKS_PER_NODE", "2(x3)"}}), std::pair(1, 2));
  EXPECT_EQ(place_of({{"SLURM_LOCALID", "0"}}), std::pair(0, 1)) << "a batch script: no step";
  EXPECT_EQ(place_of({{"OMPI_COMM_WORLD_LOCAL_RANK", "4"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}}), std::pair(0, 1));
}

TEST(LaunchName, IsThatOfTheJob) {
  const auto name_of = [](const std::map<std::string, std::string>& environment) {
    return launch_name([&](const char* name) {
      const auto found = environment.find(name);
      return found == environment.end() ? nullptr : found->second.c_str();
    });
  };
  EXPECT_EQ(name_of({}), "");
  EXPECT_EQ(name_of({{"PMIX_NAMESPACE", "1234"}, {"SLURM_JOB_ID", "7"}, {"SLURM_STEP_ID", "0"}}), "1234");
  EXPECT_EQ(name_of({{"SLURM_JOB_ID", "7"}, {"SLURM_STEP_ID", "0"}}), "7.0");
  EXPECT_EQ(name_of({{"SLURM_JOB_ID", "7"}}), "") << "a batch script";
}

TEST(EnvironmentWithoutLauncher, IsThatOfAShell) {
  EXPECT_THAT(environment_without_launcher({"PATH=/bin", "OMPI_COMM_WORLD_SIZE=4", "OMPI_MCA_ess_base_vpid=1",
                                            "OMPI_MCA_rmaps_base_oversubscribe=1", "OMPI_ALLOW_RUN_AS_ROOT=1",
                                            "PMIX_RANK=1", "OMPI_MCA_num_procs=4", "PRTE_LAUNCHED=1", "PMI_SIZE=4",
                                            "SLURM_NTASKS=4", "SLURM_JOB_ID=7", "SLURM_STEP_ID=0", "ULMFIT_STOP_FILE=x"}),
              testing::ElementsAre("PATH=/bin", "OMPI_MCA_rmaps_base_oversubscribe=1", "OMPI_ALLOW_RUN_AS_ROOT=1",
                                   "SLURM_JOB_ID=7", "ULMFIT_STOP_FILE=x"));
}

}  // namespace
}  // namespace ulmfit::comm
