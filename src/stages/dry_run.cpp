#include "stages/dry_run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/stopwatch.h"
#include "reports/number_format.h"
#include "stages/peak_memory.h"

namespace ulmfit::stages {
namespace {

// Seconds of each step, but for the first of a Trainer::run(), which begins with a comparison of the ranks and a seek.
class StepTimes : public train::Observer {
 public:
  void on_step_report(const reports::StepReport&) override {
    if (running_) seconds_.push_back(watch_.seconds());
    running_ = true;
    watch_ = Stopwatch();
  }
  void on_evaluation(const reports::EvaluationReport&) override {}
  nlohmann::json state() override { return nullptr; }

  std::vector<double> take() {
    running_ = false;
    return std::exchange(seconds_, {});
  }

 private:
  std::vector<double> seconds_;
  bool running_ = false;
  Stopwatch watch_;
};

double rank_0s(double value, comm::Communicator& comm) {
  at::Tensor shared = at::scalar_tensor(value, at::kDouble);
  comm.broadcast(shared, 0);
  return shared.item<double>();
}

// Of the rank that has most.
std::string megabytes(std::uint64_t bytes, comm::Communicator& comm) {
  at::Tensor most = at::scalar_tensor(static_cast<double>(bytes) / 1e6, at::kDouble);
  comm.all_reduce(most, comm::ReduceOp::kMax);
  return reports::grouped(std::llround(most.item<double>())) + " MB";
}

struct Measured {
  double seconds = 0;  // of a step, in the mean
  std::int64_t steps = 0;
  bool stopped = false;
};

constexpr double kSeconds = 1;  // are measured, about

// Steps from `first` on, which has two others at least before the next validation, at `end`.
Measured time_steps(train::Trainer& trainer, StepTimes& times, std::int64_t first, std::int64_t end,
                    comm::Communicator& comm) {
  Measured measured;
  trainer.skip_to(first);
  const auto train_until = [&](std::int64_t step) {
    measured.stopped = trainer.run(step) == train::StopReason::kSignalled;
    const std::vector<double> seconds = times.take();
    double sum = 0;
    for (const double s : seconds) sum += s;
    measured.steps = std::llround(rank_0s(static_cast<double>(seconds.size()), comm));
    measured.seconds = rank_0s(sum, comm) / static_cast<double>(std::max<std::int64_t>(measured.steps, 1));
  };
  train_until(first + 2);
  const double more = kSeconds / std::max(measured.seconds, 1e-6);
  const std::int64_t until = std::min(end, trainer.step() + 1 + static_cast<std::int64_t>(more));
  if (!measured.stopped && until >= trainer.step() + 2) train_until(until);
  return measured;
}

// The same on a GPU, where a report, which tells the steps apart, waits for it: what many steps take longer than one, which
// has the beginning and end of a run too.
Measured time_steps_together(train::Trainer& trainer, std::int64_t first, std::int64_t end, comm::Communicator& comm) {
  Measured measured;
  trainer.skip_to(first);
  const auto train_until = [&](std::int64_t step) {
    const Stopwatch watch;
    measured.stopped = measured.stopped || trainer.run(step) == train::StopReason::kSignalled;
    return rank_0s(watch.seconds(), comm);
  };
  train_until(first + 1);  // allocates
  const double one = train_until(first + 2);
  measured = {.seconds = one, .steps = 1, .stopped = measured.stopped};
  constexpr std::int64_t kLeast = 8;
  const std::int64_t more = std::max(static_cast<std::int64_t>(kSeconds / std::max(one, 1e-6)), kLeast);
  const std::int64_t until = std::min(end, first + 2 + more), steps = until - (first + 2);
  if (measured.stopped || steps < 2) return measured;
  const double many = train_until(until);
  measured.steps = steps;
  measured.seconds = std::max(many - one, 0.0) / static_cast<double>(steps - 1);
  return measured;
}

// Where validations lie too close for that: the gradients of one step.
Measured time_gradients(train::Trainer& trainer, std::int64_t step, comm::Communicator& comm) {
  trainer.skip_to(step);
  trainer.compute_gradients();  // allocates
  const Stopwatch watch;
  trainer.compute_gradients();
  return {.seconds = rank_0s(watch.seconds(), comm), .steps = 1};
}

}  // namespace

StageResult measure_dry_run(const TrainingStage& stage, const train::TrainingPlan& plan, comm::Communicator& comm) {
  forget_peak(comm.device());  // of a stage before this one
  StepTimes times;
  train::TrainerOptions options = trainer_options(stage);
  if (comm.device().is_cpu()) options.log_every = 1;
  options.checkpoint_every = 0;
  Engine engine(stage, plan, comm, nullptr, comm.rank() == 0 ? &times : nullptr, options);
  const std::size_t phase = plan.phase(plan.total_steps() - 1);
  const std::int64_t first = plan.first_step(phase);
  std::int64_t end = first;
  while (!plan.ends_epoch(end)) ++end;
  const bool whole = end >= first + 2;
  const bool on_cpu = comm.device().is_cpu();
  const Measured measured = !whole   ? time_gradients(engine.trainer, first, comm)
                            : on_cpu ? time_steps(engine.trainer, times, first, end, comm)
                                     : time_steps_together(engine.trainer, first, end, comm);
  if (measured.stopped) return StageEnd::kStopped;
  StageResult planned(StageEnd::kPlanned);
  planned.seconds = measured.seconds * static_cast<double>(plan.total_steps());
  const std::string of = phase > 0 ? " of the last phase" : "";
  log::info(stage.title, str("  time: about ", reports::duration(planned.seconds), " for the ", plan.total_steps(),
                             " steps, validations not counted (measured: ",
                             whole ? str(measured.steps, measured.steps == 1 ? " step" : " steps")
                                   : std::string("the gradients of a step"),
                             of, ")"));
  const PeakMemory peak = peak_memory(comm.device());
  std::string memory = megabytes(peak.host, comm) + " a rank";
  if (peak.gpu) memory += ", " + megabytes(*peak.gpu, comm) + " of its GPU";
  log::info(stage.title, str("  peak memory: ", memory, " in these steps"));
  return planned;
}

}  // namespace ulmfit::stages
