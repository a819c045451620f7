#include "perf/training_run.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <memory>
#include <utility>

#include "base/machine.h"
#include "base/stopwatch.h"
#include "comm/grad_reducer.h"
#include "reports/number_format.h"
#include "train/trainer.h"

namespace ulmfit::perf {
namespace {

constexpr std::size_t kOperatorsShown = 10;

// Takes the time of blocks; a block ends with a report.
class BlockObserver : public train::Observer {
 public:
  BlockObserver(const BlockOptions& options, const std::function<void(std::int64_t)>& between, at::Device device)
      : options_(options), between_(between), device_(device), block_end_(options.warmup) {}

  void watch_items(const train::Trainer& trainer) { trainer_ = &trainer; }

  void on_step_report(const reports::StepReport& report) override {
    seconds_ += watch_.seconds();
    loss_ += report.loss * static_cast<double>(report.step - reported_);
    reported_ = report.step;
    if (report.step == block_end_) end_block(report.step);
    if (profile_ && report.step == report.total_steps) {  // before the trainer ends the epoch
      measurements_.profile = profile_->stop();
      profile_.reset();
    }
    watch_ = Stopwatch();
  }
  void on_evaluation(const reports::EvaluationReport&) override {}
  nlohmann::json state() override { return nullptr; }

  TrainingMeasurements finish() { return std::move(measurements_); }

 private:
  void end_block(std::int64_t step) {
    const std::int64_t steps = step - block_start_;
    if (step > options_.warmup) {
      measurements_.rates.push_back((trainer_->items() - items_) / seconds_);
      measurements_.losses.push_back(loss_ / static_cast<double>(steps));
    }
    if (between_) {
      between_(steps);
    } else if (measurements_.rates.size() == 1) {
      measurements_.peak_memory = stages::peak_memory(device_);
    }
    const bool last = static_cast<std::int64_t>(measurements_.rates.size()) == options_.blocks;
    if (last && options_.profile > 0) profile_ = std::make_unique<OpProfile>(device_);
    block_start_ = step;
    block_end_ = last ? -1 : step + options_.block;
    items_ = trainer_->items();
    seconds_ = 0;
    loss_ = 0;
  }

  BlockOptions options_;
  const std::function<void(std::int64_t)>& between_;
  at::Device device_;
  const train::Trainer* trainer_ = nullptr;
  TrainingMeasurements measurements_;
  Stopwatch watch_;
  double seconds_ = 0;
  double loss_ = 0;
  double items_ = 0;
  std::int64_t reported_ = 0;
  std::int64_t block_start_ = 0;
  std::int64_t block_end_;
  std::unique_ptr<OpProfile> profile_;
};

}  // namespace

void BlockOptions::declare(config::OptionSet& set, bool of_epochs) {
  if (of_epochs) block = 0;
  set.add("warmup", warmup, "steps before the first block, which do not count", {.min = 1, .max = 1e6});
  set.add("blocks", blocks, "blocks; the median and the spread over them are told", {.min = 1, .max = 1e6});
  set.add("block", block, of_epochs ? "steps of a block; 0: a pass over the documents" : "steps of a block",
          {.min = of_epochs ? 0.0 : 1.0, .max = 1e6});
  set.add("profile", profile, "steps under the profile (which slows them), after the blocks; 0: no profile",
          {.min = 0, .max = 100});
}

void declare_compute(config::OptionSet& set, stages::RunOptions& run) {
  run.compute.declare(set);
  set.add("train.seed", run.seed, "of weights, made-up data, data order and dropout masks", {.min = 0});
  set.add_alias("seed", "train.seed");
}

stages::OptimOptions bench_optim() {
  stages::OptimOptions optim;
  optim.schedule.kind = optim::ScheduleKind::kConstant;
  return optim;
}

TrainingMeasurements measure_training(train::Task& task, const stages::RunOptions& run,
                                      const train::MicroBatches& micro_batches, const BlockOptions& asked,
                                      comm::Communicator& comm, const std::function<void(std::int64_t)>& between) {
  // A report waits for a GPU: there a block has one, at its end.
  const std::int64_t reports_every = comm.device().is_cpu() ? 1 : asked.block;
  BlockOptions options = asked;
  options.warmup = (asked.warmup + reports_every - 1) / reports_every * reports_every;
  stages::OptimOptions optim = bench_optim();
  optim.epochs = {config::Length::Unit::kSteps, static_cast<double>(options.steps())};
  const train::TrainingPlan plan(optim.plan(task, 1), task);
  optim::Optimizer optimizer(task.groups(), optim.optimizer);
  comm::GradReducer reducer(comm, task.reduced_parameters());
  if (run.compute.reproducible) reducer.use_fixed_tree(static_cast<int>(micro_batches.total));
  train::TrainerOptions trainer_options;
  trainer_options.clip = optim.clip;
  trainer_options.log_every = reports_every;
  trainer_options.checkpoint_every = 0;
  BlockObserver observer(options, between, comm.device());
  stages::forget_peak(comm.device());  // the products that were timed before took more
  train::Trainer trainer(task, plan, optimizer, reducer, comm, nullptr, comm.rank() == 0 ? &observer : nullptr,
                         trainer_options);
  observer.watch_items(trainer);
  trainer.run();
  return observer.finish();
}

void describe_training(const TrainingMeasurements& measurements, const std::string& rate_name, double flop_an_item,
                       double product_peak, const comm::Communicator& comm, nlohmann::json& line, Table& table) {
  const Spread rate = spread(measurements.rates);
  const double flops = rate.median * flop_an_item / comm.size();
  add_spread(line, rate_name, rate);
  line["ranks"] = comm.size();
  line["threads"] = at::get_num_threads();
  line["loss"] = measurements.losses.back();
  line["model_gflops_per_rank"] = flops / 1e9;
  line["product_peak_gflops"] = product_peak / 1e9;
  line["share_of_peak"] = flops / product_peak;
  line["cpu"] = cpu_model();
  if (!comm.device().is_cpu()) line["gpu"] = comm.processor();
  table.add(rate_name, str(describe(rate), ", ", measurements.rates.size(), " blocks"));
  table.add("loss of the last block", reports::fixed(measurements.losses.back(), 4));
  table.add("model GFLOP/s a rank", str(reports::significant(flops / 1e9, 4), ", ", reports::percent(flops / product_peak),
                                        " of the ", reports::significant(product_peak / 1e9, 4), " of large products"));
  if (measurements.peak_memory) {
    add_memory(*measurements.peak_memory, line, table);
  } else {
    table.add("peak memory", "not told: what runs between the blocks has its part in it");
  }
  if (!measurements.profile) return;
  const ProfileResult& profile = *measurements.profile;
  line["outside_kernels"] = profile.outside_kernels;
  table.add("outside products, LSTM, softmax", reports::percent(profile.outside_kernels));
  for (const auto& [name, seconds] : largest(profile.by_activity, profile.by_activity.size())) {
    line["phases"][name] = seconds / profile.seconds;
    table.add("  activity: " + name, reports::percent(seconds / profile.seconds));
  }
  for (const auto& [name, seconds] : largest(profile.by_operator, kOperatorsShown)) {
    line["operators"][name] = seconds / profile.seconds;
    table.add("  operator: " + name, reports::percent(seconds / profile.seconds));
  }
}

}  // namespace ulmfit::perf
