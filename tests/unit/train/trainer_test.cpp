#include "train/trainer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "comm/solo_communicator.h"
#include "tests/support/step_task.h"

namespace ulmfit::train {
namespace {

using namespace std::chrono_literals;

class RateObserver : public Observer {
 public:
  void on_step_report(const StepReport& report) override { rates.push_back(report.rate); }
  void on_evaluation(const EvaluationReport&) override { ++evaluations; }
  nlohmann::json state() override { return {}; }
  std::vector<double> rates;
  int evaluations = 0;
};

// Epochs of four steps, reports of six: each report but the last has a validation within.
TEST(Trainer, ValidationIsNoTimeOfTraining) {
  test::StepTask task;
  task.before_step = [](std::int64_t) { std::this_thread::sleep_for(2ms); };
  task.evaluation = [] {
    std::this_thread::sleep_for(300ms);
    return Evaluation{1.0, {{"loss", 1.0}}, {}};
  };
  comm::SoloCommunicator comm;
  optim::Optimizer optimizer(task.groups(), {});
  const TrainingPlan plan(test::step_task_plan(), task);
  comm::GradReducer reducer(comm, task.reduced_parameters());
  RateObserver observer;
  TrainerOptions options;
  options.log_every = 6;
  Trainer(task, plan, optimizer, reducer, comm, nullptr, &observer, options).run();
  EXPECT_EQ(observer.evaluations, 3);
  ASSERT_EQ(observer.rates.size(), 2U);
  for (const double rate : observer.rates) {
    EXPECT_LE(rate, 1 / 0.002) << "items of steps whose time does not count";
    EXPECT_GT(rate, 6 / 0.3) << "the time of a validation counts";
  }
}

}  // namespace
}  // namespace ulmfit::train
