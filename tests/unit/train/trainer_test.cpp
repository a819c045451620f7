#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

#include "base/error.h"
#include "comm/solo_communicator.h"
#include "tests/support/mean_of_weights.h"
#include "tests/support/step_task.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::train {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

class RateObserver : public Observer {
 public:
  void on_step_report(const reports::StepReport& report) override { rates.push_back(report.rate); }
  void on_evaluation(const reports::EvaluationReport&) override { ++evaluations; }
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

// On CUDA: a sum of the third step that never ends.
class StuckCommunicator : public comm::SoloCommunicator {
 public:
  void wait_until(const std::function<bool()>& /*passed*/, std::string_view /*what*/) override {
    if (++waits_ == 3) throw CommError("has waited 600 s");
  }

 private:
  int waits_ = 0;
};

TEST(Trainer, WaitsForTheSumsBeforeItReadsThem) {
  test::StepTask task;
  StuckCommunicator comm;
  optim::Optimizer optimizer(task.groups(), {.kind = optim::OptimizerKind::kSgd});
  const TrainingPlan plan(test::step_task_plan(), task);
  comm::GradReducer reducer(comm, task.reduced_parameters());
  Trainer trainer(task, plan, optimizer, reducer, comm, nullptr, nullptr, {});
  at::Tensor after_two;
  task.before_step = [&](std::int64_t step) {
    if (step == 2) after_two = task.tensor(0).detach().clone();
  };
  EXPECT_THROW(trainer.run(), CommError);
  EXPECT_EQ(trainer.step(), 2);
  EXPECT_TRUE(at::equal(task.tensor(0).detach(), after_two));
}

// A run of StepTask that saves to a folder.
struct SavedRun {
  test::TempDir dir;
  test::StepTask task;
  comm::SoloCommunicator comm;
  CheckpointStore store{dir.path(), {}};
  TrainerOptions options;

  void train(double lr = 0.004, const std::optional<Snapshot>& from = std::nullopt) {
    PlanOptions plan_options = test::step_task_plan();
    plan_options.lr = lr;
    const TrainingPlan plan(plan_options, task);
    optim::Optimizer optimizer(task.groups(), {.kind = optim::OptimizerKind::kSgd});
    comm::GradReducer reducer(comm, task.reduced_parameters());
    Trainer trainer(task, plan, optimizer, reducer, comm, &store, nullptr, options);
    trainer.restore(from);
    trainer.run();
  }
  std::string failure(double lr = 0.004, const std::optional<Snapshot>& from = std::nullopt) {
    try {
      train(lr, from);
    } catch (const DivergedError& e) {
      return e.what();
    } catch (const CheckpointError& e) {
      return e.what();
    }
    return "no error";
  }
  std::int64_t newest() {
    store.finish();
    const auto latest = store.latest();
    return latest ? latest->step : -1;
  }
};

TEST(Trainer, AStepThatIsNotFiniteIsTakenBack) {
  SavedRun run;
  run.task.before_step = [&](std::int64_t step) {
    if (step != 5) return;
    at::NoGradGuard no_grad;
    run.task.tensor(1).grad().fill_(std::nan(""));
  };
  run.train();
  EXPECT_EQ(run.task.discarded, std::vector<std::int64_t>{5});
}

// Twelve steps: too few for ten that are skipped in a row after the ninth.
TEST(Trainer, WeightsThatAreNotFiniteAreNeitherSavedNorTheEndOfARun) {
  SavedRun run;
  run.task.before_step = [&](std::int64_t step) {
    if (step != 9) return;
    at::NoGradGuard no_grad;
    run.task.tensor(0).detach().index_put_({at::tensor(1)}, at::full({1}, std::nan("")));
  };
  EXPECT_THAT(run.failure(), AllOf(HasSubstr("after step 12 lower.weight is not finite"), HasSubstr("lower --optim.lr")));
  EXPECT_EQ(run.newest(), 8) << "the last one before stands";
}

TEST(Trainer, AnUpdateThatOverflowsIsADivergence) {
  SavedRun run;
  run.options.clip = 0;
  EXPECT_THAT(run.failure(1e38), HasSubstr("is not finite"));
  EXPECT_EQ(run.newest(), -1);
}

TEST(Trainer, AScoreThatIsNotFiniteIsADivergenceAndTheFolderGoesOn) {
  for (const double score : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    SavedRun run;
    run.options.checkpoint_every = 3;
    run.task.evaluation = [&] { return Evaluation{score, {{"loss", score}}, {}}; };
    EXPECT_THAT(run.failure(), HasSubstr("validation after step 4 gives loss"));
    EXPECT_EQ(run.newest(), 3);
    run.task.evaluation = [] { return Evaluation{1.0, {{"loss", 1.0}, {"perplexity", HUGE_VAL}}, {}}; };
    EXPECT_THAT(run.failure(0.004, run.store.latest()), HasSubstr("gives perplexity inf"));
    run.task.evaluation = [] { return Evaluation{1.0, {{"loss", 1.0}}, {}}; };
    EXPECT_EQ(run.failure(0.004, run.store.latest()), "no error");
    EXPECT_EQ(run.newest(), 12);
  }
}

// Three epochs of four steps; the mean begins with the first validation, so that the second epoch's is of steps 4 to 8.
struct AveragedRun {
  test::StepTask task;
  comm::SoloCommunicator comm;
  TrainingPlan plan{test::step_task_plan(), task};
  optim::Optimizer optimizer{task.groups(), {.kind = optim::OptimizerKind::kSgd}};
  comm::GradReducer reducer{comm, task.reduced_parameters()};
  test::MeanOfWeights mean{task.model_tensors()};
  Trainer trainer;
  std::vector<double> trained;    // a weight after each step
  std::vector<double> evaluated;  // in each validation

  explicit AveragedRun(bool averages = true)
      : trainer(task, plan, optimizer, reducer, comm, nullptr, nullptr, {}, averages ? &mean : nullptr) {
    task.evaluation = [this] {
      evaluated.push_back(weight());
      return Evaluation{1.0, {{"loss", 1.0}}, {}};
    };
  }
  double weight() const { return task.tensor(1)[0].item<double>(); }
  void train_to(std::int64_t end) {
    for (std::int64_t step = trainer.step() + 1; step <= end; ++step) {
      trainer.run(step);
      trained.push_back(weight());
    }
  }
};

TEST(Trainer, EvaluatesTheAverageAndGoesOnFromWhatIsTrained) {
  AveragedRun run;
  run.train_to(12);
  AveragedRun plain(/*averages=*/false);
  plain.train_to(12);
  EXPECT_EQ(run.trained, plain.trained);
  ASSERT_EQ(run.evaluated.size(), 3U);
  EXPECT_EQ(run.evaluated[0], run.trained[3]) << "no average yet";
  const auto mean_to = [&](std::ptrdiff_t end) {
    return std::accumulate(run.trained.begin() + 3, run.trained.begin() + end, 0.0) / static_cast<double>(end - 3);
  };
  EXPECT_NEAR(run.evaluated[1], mean_to(8), 1e-6);
  EXPECT_NEAR(run.evaluated[2], mean_to(12), 1e-6);
  EXPECT_NE(run.evaluated[2], run.trained[11]);
  run.trainer.keep_averages();
  EXPECT_EQ(run.weight(), run.evaluated[2]) << "what a stage gets at the end";
}

TEST(Trainer, ACheckpointHasTheAverageAsItsModelAndTheRunGoesOnAsIfUninterrupted) {
  AveragedRun whole;
  whole.train_to(12);
  for (const std::int64_t step : {3, 6}) {  // before the average begins, and while it runs
    AveragedRun first;
    first.train_to(step);
    const Snapshot saved = first.trainer.snapshot();
    if (step == 6) {
      EXPECT_TRUE(saved.model[1].second.equal(first.mean.averages()[1].second));
      EXPECT_FALSE(saved.model[1].second.equal(first.task.tensor(1)));
    }
    AveragedRun second;
    second.trainer.restore(saved);
    second.train_to(12);
    EXPECT_EQ(second.trained.back(), whole.trained.back()) << step;
    EXPECT_EQ(second.evaluated.back(), whole.evaluated.back()) << step;
  }
}

TEST(Trainer, RefusesACheckpointWithoutTheTrainedWeightsBesideTheirAverage) {
  AveragedRun first;
  first.train_to(6);
  Snapshot saved = first.trainer.snapshot();
  std::erase_if(saved.training, [](const auto& tensor) { return tensor.first == "trained.lower.weight"; });
  AveragedRun second;
  EXPECT_THAT([&] { second.trainer.restore(saved); },
              ::testing::ThrowsMessage<CheckpointError>(HasSubstr("step 6: trained.lower.weight is missing")));
}

TEST(Trainer, RefusesACheckpointOfAnotherPlanOrANewerProgram) {
  SavedRun run;
  run.train();
  run.store.finish();
  Snapshot snapshot = *run.store.latest();
  snapshot.state["counters"]["step"] = 13;
  EXPECT_THAT(run.failure(0.004, snapshot), HasSubstr("step 13: this run has 12 steps"));
  snapshot.state["counters"]["step"] = 12;
  snapshot.state["counters"]["best_score"] = nullptr;  // what older programs made of a NaN
  EXPECT_EQ(run.failure(0.004, snapshot), "no error");
  snapshot.state["version"] = 2;
  EXPECT_THAT(run.failure(0.004, snapshot), HasSubstr("of version 2: this program reads 1"));
}

}  // namespace
}  // namespace ulmfit::train
