// A training run in which one rank stays where it is in the middle of a step; ends_together.sh looks at what the others
// say.
//   training_mishap RANK "step 5, all-reduce"
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/activity.h"
#include "base/log.h"
#include "comm/launch.h"
#include "tests/support/step_task.h"
#include "train/trainer.h"

namespace {

using namespace ulmfit;

std::string stays_in;  // the activity; empty: on the other ranks

void stay(const Activity&) noexcept {
  if (!stays_in.empty() && current_activity() == stays_in) std::this_thread::sleep_for(std::chrono::seconds(60));
}

constexpr ActivityListener kListener{stay, [](const Activity&) noexcept {}};

// Three epochs of four steps.
ExitCode run(comm::Communicator& comm, int rank, const std::string& activity) {
  if (comm.rank() == rank) stays_in = activity;
  set_activity_listener(&kListener);
  test::StepTask task;
  const train::TrainingPlan plan(test::step_task_plan(), task);
  optim::Optimizer optimizer(task.groups(), {});
  comm::GradReducer reducer(comm, task.reduced_parameters());
  train::Trainer(task, plan, optimizer, reducer, comm, nullptr, nullptr, {}).run();
  return ExitCode::kDone;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return static_cast<int>(ExitCode::kConfig);
  comm::LaunchOptions options;
  options.deadline = std::chrono::seconds(1);
  try {
    const ExitCode code =
        comm::run_on_ranks(options, [&](comm::Communicator& comm) { return run(comm, std::atoi(argv[1]), argv[2]); });
    comm::leave_ranks();
    return static_cast<int>(code);
  } catch (const Error& error) {
    log::error("mishap", error.what());
    return static_cast<int>(error.code());
  }
}
