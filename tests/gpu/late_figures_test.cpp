// Where a GPU computes, the device decides about updates and the host reads of them one step late: the same run as on a
// CPU.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/stop_signal.h"
#include "comm/solo_communicator.h"
#include "tests/gpu/device.h"
#include "tests/support/step_task.h"
#include "tests/support/temp_dir.h"
#include "train/trainer.h"

namespace ulmfit::train {
namespace {

using ::testing::HasSubstr;

class Reports : public Observer {
 public:
  std::vector<reports::StepReport> steps;
  void on_step_report(const reports::StepReport& report) override { steps.push_back(report); }
  void on_evaluation(const reports::EvaluationReport&) override {}
  nlohmann::json state() override { return nullptr; }
};

// Twelve steps of StepTask on a device, in one folder.
struct TwelveSteps {
  explicit TwelveSteps(at::Device device, optim::OptimizerKind optimizer = optim::OptimizerKind::kAdam)
      : task(device), comm(device), kind(optimizer) {
    options.clip = 0;
  }

  StopReason train(const std::optional<Snapshot>& from = std::nullopt, std::int64_t until = 12) {
    const TrainingPlan plan(plan_options, task);
    optim::Optimizer optimizer(task.groups(), {.kind = kind});
    comm::GradReducer reducer(comm, task.reduced_parameters());
    Trainer trainer(task, plan, optimizer, reducer, comm, &store, &reports, options);
    trainer.restore(from);
    const StopReason reason = trainer.run(until);
    end = trainer.snapshot();
    return reason;
  }
  // Gradients and a loss that are no numbers, in these steps.
  void harm(std::vector<std::int64_t> steps) {
    task.before_step = [this, steps](std::int64_t step) {
      if (std::find(steps.begin(), steps.end(), step) == steps.end()) return;
      const at::NoGradGuard no_grad;
      task.tensor(1).grad().fill_(std::nan(""));
    };
  }

  PlanOptions plan_options = test::step_task_plan();
  test::TempDir dir;
  test::StepTask task;
  comm::SoloCommunicator comm;
  optim::OptimizerKind kind;
  CheckpointStore store{dir.path(), {}};
  TrainerOptions options;
  Reports reports;
  Snapshot end;
};

void expect_same(const interop::NamedTensors& found, const interop::NamedTensors& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const at::Tensor a = found[i].second.cpu(), b = expected[i].second.cpu();
    // A GPU's update may round otherwise than a CPU's.
    const bool alike = found[i].second.device() == expected[i].second.device() || !found[i].second.is_cuda();
    EXPECT_TRUE(alike ? a.equal(b) : a.allclose(b, 1e-6, 1e-7)) << found[i].first;
  }
}

void expect_same(TwelveSteps& found, TwelveSteps& expected) {
  expect_same(found.end.model, expected.end.model);
  expect_same(found.end.training, expected.end.training);
  for (Snapshot* of : {&found.end, &expected.end}) of->state["counters"].erase("elapsed");
  EXPECT_EQ(found.end.state, expected.end.state);
}

class GpuLateFigures : public test::DeviceTest {};

constexpr optim::OptimizerKind kBoth[] = {optim::OptimizerKind::kAdam, optim::OptimizerKind::kSgd};

TEST_F(GpuLateFigures, SkipTheSameStepsAsACpu) {
  for (const optim::OptimizerKind kind : kBoth) {
    for (const auto& steps : std::vector<std::vector<std::int64_t>>{{}, {0}, {3, 4}, {11}}) {
      TwelveSteps on_cpu(at::kCPU, kind), late(device_, kind);
      for (TwelveSteps* run : {&on_cpu, &late}) {
        run->harm(steps);
        run->train();
      }
      expect_same(late, on_cpu);
      EXPECT_EQ(late.task.discarded, steps);
      EXPECT_EQ(late.end.state.at("counters").at("skipped"), steps.size());
      EXPECT_EQ(late.end.state.at("optimizer_steps"),
                std::vector<std::int64_t>(2, 12 - static_cast<std::int64_t>(steps.size())));
    }
  }
}

// Groups count their own updates: a step that is skipped is one of the groups that trained in it.
TEST_F(GpuLateFigures, SkipTheSameStepsWhereLayersAreUnfrozen) {
  for (const optim::OptimizerKind kind : kBoth) {
    TwelveSteps on_cpu(at::kCPU, kind), late(device_, kind);
    for (TwelveSteps* run : {&on_cpu, &late}) {
      run->plan_options.phases = optim::parse_unfreeze_plan("1,2", 2, 3);
      run->harm({3, 4, 9});  // the last of a phase, the first of the other
      run->train();
    }
    expect_same(late, on_cpu);
    EXPECT_EQ(late.end.state.at("optimizer_steps"), (std::vector<std::int64_t>{6, 9}));
  }
}

TEST_F(GpuLateFigures, ClipAsACpu) {
  for (const optim::OptimizerKind kind : kBoth) {
    TwelveSteps on_cpu(at::kCPU, kind), late(device_, kind);
    for (TwelveSteps* run : {&on_cpu, &late}) {
      run->options.clip = 20;  // norms are 4.7 times the number of the step: from the fifth on
      run->options.log_every = 1;
      run->train();
    }
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(late.end.model[i].second.cpu().allclose(on_cpu.end.model[i].second, 1e-6, 0));
    }
    ASSERT_EQ(late.reports.steps.size(), 12U);
    for (std::size_t i = 0; i < 12; ++i) {
      EXPECT_NEAR(late.reports.steps[i].grad_norm, on_cpu.reports.steps[i].grad_norm, 1e-6) << "before clipping";
      EXPECT_EQ(late.reports.steps[i].loss, on_cpu.reports.steps[i].loss);
    }
  }
}

// The step before the checkpoint is skipped, and nothing was read of it when the next one was queued.
TEST_F(GpuLateFigures, ACheckpointAfterASkippedStepGoesOnAsIfUninterrupted) {
  for (const optim::OptimizerKind kind : kBoth) {
    for (const std::int64_t skipped : {4, 5}) {
      TwelveSteps whole(device_, kind);
      whole.options.checkpoint_every = 6;
      whole.harm({skipped});
      whole.train();
      TwelveSteps again(device_, kind);
      again.options.checkpoint_every = 6;
      again.harm({skipped});
      again.train(std::nullopt, 6);
      again.store.finish();
      const std::optional<Snapshot> saved = again.store.latest();
      ASSERT_TRUE(saved && saved->step == 6);
      TwelveSteps second(device_, kind);
      second.train(saved);
      expect_same(second, whole);
    }
  }
}

TEST_F(GpuLateFigures, ADivergenceIsToldOneStepLate) {
  for (const optim::OptimizerKind kind : kBoth) {
    for (const at::Device device : {at::Device(at::kCPU), device_}) {
      TwelveSteps run(device, kind);
      std::int64_t computed = 0;
      run.options.max_skipped = 2;
      run.task.before_step = [&](std::int64_t step) {
        computed = step + 1;
        if (step < 1 || step > 2) return;
        const at::NoGradGuard no_grad;
        run.task.tensor(1).grad().fill_(std::nan(""));
      };
      EXPECT_THAT([&] { run.train(); }, ::testing::ThrowsMessage<DivergedError>(HasSubstr("(step 2,")));
      EXPECT_EQ(computed, device.is_cpu() ? 3 : 4);
      EXPECT_FALSE(run.store.latest()) << "nothing of it is saved";
    }
  }
}

// Ends this process with the number of the step at which a run that is asked to stop in step 5 has saved.
[[noreturn]] void stop_in_step_5(at::Device device) {
  const StopSignalScope scope(/*under_launcher=*/false);
  TwelveSteps run(device);
  run.task.before_step = [](std::int64_t step) {
    if (step != 5) return;
    kill(getpid(), SIGUSR2);
    while (!stop_requested()) std::this_thread::yield();
  };
  const bool signalled = run.train() == StopReason::kSignalled;
  std::exit(signalled && run.store.latest()->step == run.end.step ? static_cast<int>(run.end.step) : 100);
}

TEST_F(GpuLateFigures, BringAWishToStopOneStepLate) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(stop_in_step_5(at::kCPU), ::testing::ExitedWithCode(6), "");
  EXPECT_EXIT(stop_in_step_5(device_), ::testing::ExitedWithCode(device_.is_cpu() ? 6 : 7), "");
}

}  // namespace
}  // namespace ulmfit::train
