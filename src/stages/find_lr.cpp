#include "stages/find_lr.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "optim/range_test.h"
#include "optim/schedule.h"
#include "reports/html_page.h"
#include "reports/number_format.h"
#include "reports/svg_chart.h"
#include "train/parity.h"

namespace ulmfit::stages {
namespace {

constexpr double kBrokenAway = 4;       // times the lowest loss
constexpr std::size_t kNotCounted = 5;  // at the end, where the loss breaks away

// The training as asked for, but with a rate that rises over `steps` steps.
void rise(const FindLrOptions& found, OptimOptions& optim) {
  using Unit = config::Length::Unit;
  optim.lr = found.highest;
  optim.phase_lr.clear();
  optim.phase_cut.clear();
  if (optim.unfreeze != "last") optim.unfreeze = "full";
  optim.epochs = {Unit::kSteps, static_cast<double>(found.steps)};
  optim.max_steps = {Unit::kSteps, 0};
  optim.patience = 0;
  optim.nt_asgd = 0;
  optim.schedule.kind = optim::ScheduleKind::kExponential;
  optim.schedule.ratio = found.highest / found.lowest;
}

struct Course {
  std::vector<double> rates;
  std::vector<double> losses;  // as trained, of each step
  std::vector<double> means;   // of them
};

// Rank 0 has the losses; all train until it says that they have broken away.
Course train(const TrainingStage& stage, comm::Communicator& comm) {
  const train::TrainingPlan plan(stage.optim.plan(stage.task(), stage.batch_size), stage.task());
  train::LossRecorder recorder;
  train::TrainerOptions options = trainer_options(stage);
  options.log_every = 1;
  options.checkpoint_every = 0;
  options.validates = false;
  Engine engine(stage, plan, comm, nullptr, comm.rank() == 0 ? &recorder : nullptr, options);
  Course course;
  for (bool goes_on = true; goes_on && engine.trainer.step() < plan.total_steps();) {
    const double rate = optim::rate_at(stage.optim.schedule, engine.trainer.step(), plan.total_steps()).lr_factor;
    // In a pipeline a signal stops it on all ranks, and no further step would be made.
    if (engine.trainer.run(engine.trainer.step() + 1) == train::StopReason::kSignalled) break;
    if (comm.rank() == 0) {
      course.losses = recorder.losses();
      course.means = optim::running_means(course.losses);
      course.rates.push_back(stage.optim.lr * rate);
      const double now = course.means.back();
      goes_on = std::isfinite(now) && now <= kBrokenAway * *std::min_element(course.means.begin(), course.means.end());
      if (!std::isfinite(now)) {
        course.rates.pop_back();
        course.losses.pop_back();
        course.means.pop_back();
      }
    }
    goes_on = comm.broadcast_flag(goes_on, 0);
  }
  return course;
}

std::string rate_text(double rate) { return reports::significant(rate, 2); }

void write_page(const std::string& folder, const std::string& title, const Course& course,
                const optim::RateSuggestions& found) {
  reports::Chart chart;
  chart.title = "Loss as the learning rate rises";
  chart.note =
      "The rate grows from step to step. Where the loss falls steadily it is a good one; where it turns, too high. 1: half "
      "way down the longest descent; 2: the steepest place; 3: a tenth of the rate with the lowest loss.";
  chart.x_name = str("learning rate, in powers of ten above ", rate_text(course.rates.front()));
  chart.unit = "nats";
  chart.wide = true;
  const auto place = [&](double rate) { return std::log10(rate / course.rates.front()); };
  // Where it breaks away the loss can be a hundred times as high: the valley would be a flat line.
  const double highest = 2 * *std::min_element(course.means.begin(), course.means.end());
  reports::Series raw{"each step", {}, reports::LineStyle::kFaint, 0};
  reports::Series mean{"running mean", {}, reports::LineStyle::kLine, 0};
  for (std::size_t i = 0; i < course.rates.size(); ++i) {
    if (course.losses[i] <= highest) raw.points.push_back({place(course.rates[i]), course.losses[i]});
    if (course.means[i] <= highest) mean.points.push_back({place(course.rates[i]), course.means[i]});
  }
  chart.series = {raw, mean};
  chart.marks = {{place(found.valley), 1}, {place(found.steepest), 2}, {place(found.tenth_of_lowest), 3}};
  chart.mark_name = "suggestion";
  make_directories(folder);
  write_file_atomic(fs::path(folder) / "report.html",
                    reports::html_page(title, "<div class=\"grid\">\n" + reports::chart_html(chart) + "</div>\n"));
}

}  // namespace

void FindLrOptions::declare(config::OptionSet& set) {
  stage.declare(set);
  set.add_alias("groups", "optim.unfreeze");
  set.add("find.lowest", lowest, "the first rate, as --optim.lr would have it (of the last layer group)",
          {.min = 1e-12, .max = 1e6});
  set.add("find.highest", highest, "the last one", {.min = 1e-12, .max = 1e6});
  set.add("find.steps", steps, "steps from one to the other", {.min = 20, .max = 5000});
  set.add("report", report, "also write report.html with the curve into this folder");
}

RatesFound find_lr(FindLrOptions options, const config::OptionSet& set, comm::Communicator& comm) {
  if (options.highest <= options.lowest) {
    throw ConfigError(str("--find.highest=", options.highest, ": expected more than --find.lowest=", options.lowest));
  }
  for (const char* ignored : {"dry-run", "extend", "restart"}) {
    if (set.given(ignored)) throw ConfigError(str("find-lr keeps nothing: leave --", ignored, " out"));
  }
  options.stage.resolve(set, comm);
  require_unfreeze_plan(options.stage.optim().unfreeze);
  rise(options, options.stage.optim());
  const auto stage = options.stage.prepare(set, comm);
  log::info("find-lr", str("training ", options.stage.command, " for up to ", options.steps, " steps at rates from ",
                           options.lowest, " to ", options.highest, "; nothing is kept"));
  check_world(*stage, comm);
  const Course course = train(*stage, comm);
  const auto skip = static_cast<std::size_t>(options.steps / 10);
  const bool enough = comm.broadcast_flag(course.losses.size() >= skip + kNotCounted + 3, 0);
  if (!enough) {
    throw DivergedError(
        str("find-lr: the loss broke away within a few steps; give a lower --find.lowest than ", options.lowest));
  }
  if (comm.rank() != 0) return {};
  const optim::RateSuggestions found = optim::suggest_rates(course.rates, course.means, skip, kNotCounted);
  const bool broke_away = static_cast<std::int64_t>(course.rates.size()) < options.steps;
  RatesFound told;
  told.line = {{"find_lr", options.stage.command},         {"valley", found.valley},       {"steepest", found.steepest},
               {"tenth_of_lowest", found.tenth_of_lowest}, {"steps", course.rates.size()}, {"broke_away", broke_away}};
  told.table = str("learning rate   by\n", rate_text(found.valley), "   half way down the longest descent (the valley)\n",
                   rate_text(found.steepest), "   the steepest descent\n", rate_text(found.tenth_of_lowest),
                   "   a tenth of that with the lowest loss\n");
  if (!options.report.empty()) write_page(options.report, "find-lr " + options.stage.command, course, found);
  return told;
}

}  // namespace ulmfit::stages
