// status and compare: run folders seen from outside.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "commands/call.h"
#include "commands/pipeline_view.h"
#include "reports/comparison.h"
#include "reports/number_format.h"
#include "stages/run_view.h"
#include "study/progress.h"

namespace ulmfit::commands {
namespace {

using nlohmann::json;
using stages::RunState;
using stages::RunView;

constexpr Named<RunState> kStates[] = {{RunState::kFinished, "finished"},
                                       {RunState::kRunning, "running"},
                                       {RunState::kStopped, "stopped"},
                                       {RunState::kFailed, "failed"},
                                       {RunState::kDied, "died"}};

// Words before the first option are folders.
void take_folders(Arguments& arguments) {
  Arguments with_names;
  bool options = false;
  for (std::string& word : arguments) {
    options = options || word.starts_with("--");
    if (!options) with_names.emplace_back("--path");
    with_names.push_back(std::move(word));
  }
  arguments = std::move(with_names);
}

std::vector<RunView> views_of(const std::string& path) {
  const std::vector<fs::path> folders = stages::run_folders(path);
  if (folders.empty()) throw DataError(str("no run in ", path, " or below it (yet); give the --output of a training"));
  std::vector<RunView> views;
  for (const fs::path& folder : folders) views.push_back(stages::view_run(folder));
  return views;
}

// The runs at work in a study.
std::vector<RunView> running_views(const study::StudyFolder& folder, const study::Progress& progress) {
  std::vector<RunView> views;
  for (const auto& running : progress.running) {
    for (const fs::path& run : stages::run_folders(folder.cell(running.cell))) {
      RunView view = stages::view_run(run);
      if (view.state == RunState::kRunning) views.push_back(std::move(view));
    }
  }
  return views;
}

const reports::EvaluationReport* best_of(const RunView& view) { return view.history.best(view.names); }

// "error 16.0% (epoch 5.00)". Of texts with several labels the best is the one of the lowest loss, whose error need not be
// the lowest.
std::string headline(const RunView& view, const reports::EvaluationReport* report) {
  if (report == nullptr || !report->values.contains(std::string(view.names.headline))) return "none";
  const bool by_loss = report == best_of(view) && view.names.headline_is_share && !view.names.best_by_headline;
  return str(view.names.headline, " ", reports::headline_text(view.names, report->values), " (epoch ",
             reports::fixed(report->epoch, 2), by_loss ? ", lowest loss)" : ")");
}

std::string status_text(const RunView& view) {
  std::string text = str(view.folder.string(), ": ", view.command, ", ", name_in(kStates, view.state));
  if (view.state == RunState::kRunning) {
    text += str(" (", view.holder, "), last sign of life ", reports::duration(view.silent), " ago");
  }
  text += '\n';
  if (view.step() > 0) {
    text += str("  step ", view.step(), view.total_steps() > 0 ? str(" of ", view.total_steps()) : "", ", epoch ",
                reports::fixed(view.history.train.back().epoch, 2));
    if (view.state == RunState::kRunning && std::isfinite(view.seconds_left())) {
      text += str(", about ", reports::duration(view.seconds_left()), " left");
    }
    text += '\n';
  }
  if (best_of(view) != nullptr)
    text += str("  best validation: ", headline(view, best_of(view)), "; last: ", headline(view, view.last()), '\n');
  if (view.checkpoint >= 0) text += str("  newest whole checkpoint: step ", view.checkpoint, '\n');
  if (view.state == RunState::kDied)
    text += "  it ended without a word: killed, or the machine failed; the same command goes on\n";
  if (view.state != RunState::kFinished && !view.last_line.empty())
    text += str("  last line of its log: ", view.last_line, '\n');
  return text;
}

json status_json(const RunView& view) {
  json out = {
      {"folder", view.folder.string()},        {"stage", view.command},
      {"state", name_in(kStates, view.state)}, {"step", view.step()},
      {"total_steps", view.total_steps()},     {"checkpoint", view.checkpoint},
      {"last_line", view.last_line},           {"silent_s", std::isfinite(view.silent) ? json(view.silent) : json()}};
  if (!view.history.train.empty()) out["epoch"] = view.history.train.back().epoch;
  if (!view.holder.empty()) out["holder"] = view.holder;
  if (std::isfinite(view.seconds_left())) out["left_s"] = view.seconds_left();
  const auto values = [&](const reports::EvaluationReport& r) {
    json value = {{"step", r.step}, {"epoch", r.epoch}};
    for (const auto& [name, number] : r.values) value[name] = number;
    return value;
  };
  if (best_of(view) != nullptr) out["best"] = values(*best_of(view));
  if (view.last() != nullptr) out["last"] = values(*view.last());
  return out;
}

std::string status_text(const study::StudyFolder& folder, const study::Progress& progress) {
  std::string text =
      str(folder.path().string(), ": ", progress.kind, " study, ", progress.done, " of ", progress.cells, " cells done");
  if (!progress.running.empty()) text += str(", ", progress.running.size(), " running");
  if (!progress.broken.empty()) text += str(", ", progress.broken.size(), " broken");
  if (progress.blocked > 0) text += str(", ", progress.blocked, " blocked by these");
  if (progress.seconds_left > 0) {
    text += str("; about ", reports::duration(progress.seconds_left), " of one worker left");
  }
  text += '\n';
  for (const auto& running : progress.running) text += str("  ", running.cell, ": running (", running.holder, ")\n");
  for (const auto& broken : progress.broken) text += str("  ", broken.cell, ": broken: ", broken.message, '\n');
  return text;
}

json status_json(const study::StudyFolder& folder, const study::Progress& progress) {
  json out = {{"folder", folder.path().string()}, {"study", progress.kind},
              {"cells", progress.cells},          {"done", progress.done},
              {"running", json::array()},         {"broken", json::object()},
              {"blocked", progress.blocked},      {"left_s", progress.seconds_left}};
  for (const auto& running : progress.running) out["running"].push_back(running.cell);
  for (const auto& broken : progress.broken) out["broken"][broken.cell] = broken.message;
  return out;
}

std::size_t count_done(const std::vector<StageView>& stages) {
  return static_cast<std::size_t>(std::count_if(stages.begin(), stages.end(), is_done));
}

// The first stage that is not done; null: all are.
const StageView* next_of(const std::vector<StageView>& stages) {
  const auto next = std::find_if_not(stages.begin(), stages.end(), is_done);
  return next == stages.end() ? nullptr : &*next;
}

using Evaluations = std::vector<std::pair<std::string, std::string>>;  // folder, and what was found

// The evaluations that the stages have made, but for those of single folds, which are parts of another.
Evaluations found_by(const std::vector<StageView>& stages) {
  const auto of_a_fold = [](const fs::path& output) { return output.parent_path().parent_path().filename() == "folds"; };
  Evaluations figures;
  for (const StageView& stage : stages) {
    const json found = stage.trains || of_a_fold(stage.output) ? json() : evaluation_in(stage.output);
    if (!found.is_null()) figures.emplace_back(stage.output, evaluation_text(found));
  }
  return figures;
}

std::string figures_text(const Evaluations& figures) {
  std::string text;
  for (const auto& [folder, figure] : figures) text += str("  ", folder, ": ", figure, '\n');
  return text;
}

std::string status_text(const std::string& folder, const std::vector<StageView>& stages) {
  const StageView* next = next_of(stages);
  return str(folder, ": fit, ", count_done(stages), " of ", stages.size(), " stages done",
             next == nullptr ? "" : ", then " + commands::told(*next), '\n', figures_text(found_by(stages)));
}

json status_json(const std::string& folder, const std::vector<StageView>& stages) {
  const StageView* next = next_of(stages);
  return {{"folder", folder},
          {"stages", stages.size()},
          {"done", count_done(stages)},
          {"next", next == nullptr ? json() : json(next->name)}};
}

class Status : public Command {
 public:
  void take_words(Arguments& arguments) override { take_folders(arguments); }
  void declare(config::OptionSet& set) override {
    set.add("path", paths_,
            "run folders, folders that hold some, or studies; also as first arguments: ulmfit status DIR...");
    set.require("path");
    set.add("json", json_, "a line of JSON a run or study");
  }
  std::string_view introduction() const override {
    return "Says of runs whether they are alive, finished, stopped or dead, how far they are, how long they will need, "
           "what\n"
           "they reached and from which checkpoint they would go on; of a study how many of its cells are done, and the "
           "runs\n"
           "at work; of what fit made how many of its stages. Needs no launcher and disturbs nothing.";
  }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& /*comm*/) override {
    Outcome outcome;
    for (const std::string& path : paths_) {
      try {
        outcome.result += status_of(path);
      } catch (const Error& e) {
        if (paths_.size() == 1) throw;
        log::warn("status", e.what());  // and of the others there is something to say
        if (outcome.code == ExitCode::kDone) outcome.code = e.code();
      }
    }
    return outcome;
  }

 private:
  std::string status_of(const std::string& path) const {
    std::string text;
    const study::StudyFolder folder(path);
    if (folder.exists()) {
      const study::Progress progress = study::progress_of(folder);
      text = told(folder, progress);
      for (const RunView& view : running_views(folder, progress)) text += told(view);
      return text;
    }
    const std::vector<StageView> pipeline = view_fit(path);
    if (!pipeline.empty()) text = told(path, pipeline);
    if (!pipeline.empty() && stages::run_folders(path).empty()) return text;
    for (const RunView& view : views_of(path)) text += told(view);
    return text;
  }

  template <class... Seen>
  std::string told(const Seen&... seen) const {
    return json_ ? status_json(seen...).dump(-1, ' ', false, json::error_handler_t::replace) + "\n" : status_text(seen...);
  }

  std::vector<std::string> paths_;
  bool json_ = false;
};

reports::ComparedRun compared(const RunView& view) {
  reports::ComparedRun run{view.folder.string(), view.names, view.history, view.settings, {}};
  const auto last = view.history.train.empty() ? reports::StepReport{} : view.history.train.back();
  run.figures = {{"state", std::string(name_in(kStates, view.state))},
                 {"best validation", headline(view, best_of(view))},
                 {"last validation", headline(view, view.last())},
                 {"steps", str(view.step(), view.total_steps() > 0 ? str(" of ", view.total_steps()) : "")},
                 {"training loss", view.history.train.empty() ? "none" : reports::significant(last.loss, 4)},
                 {"time", reports::duration(last.elapsed_seconds)}};
  return run;
}

class Compare : public Command {
 public:
  void take_words(Arguments& arguments) override { take_folders(arguments); }
  void declare(config::OptionSet& set) override {
    set.add("path", paths_, "run folders, or folders that hold some; also as first arguments: ulmfit compare RUN...");
    set.require("path");
    set.add("report", report_, "folder for report.html: figures, settings that differ, curves over one another");
    set.add("json", json_, "JSON, for programs");
  }
  std::string_view introduction() const override {
    return "Sets runs side by side: what they reached, and the settings in which they differ, each kind of model in a "
           "table "
           "of\n"
           "its own; of what fit made also the errors on its test texts.";
  }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& /*comm*/) override {
    std::vector<reports::ComparedRun> runs;
    Evaluations found;
    for (const std::string& path : paths_) {
      for (const RunView& view : views_of(path)) runs.push_back(compared(view));
      const Evaluations of_fit = found_by(view_fit(path));
      found.insert(found.end(), of_fit.begin(), of_fit.end());
    }
    if (!report_.empty()) reports::write_comparison(report_, runs, found);
    return {.result = json_ ? to_json(runs, found).dump(1, ' ', false, json::error_handler_t::replace) + "\n"
                            : figures_text(found) + (found.empty() ? "" : "\n") + reports::comparison_text(runs)};
  }

 private:
  static json to_json(const std::vector<reports::ComparedRun>& runs, const Evaluations& found) {
    json out = {{"runs", json::array()}, {"differing_settings", json::object()}, {"evaluations", json::object()}};
    for (const auto& [folder, figure] : found) out["evaluations"][folder] = figure;
    for (const auto& run : runs) {
      json figures = json::object();
      for (const auto& [name, value] : run.figures) figures[name] = value;
      out["runs"].push_back({{"run", run.name}, {"figures", figures}});
    }
    for (const auto& row : reports::differing_settings(runs)) out["differing_settings"][row.key] = row.values;
    return out;
  }

  std::vector<std::string> paths_;
  std::string report_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> status() { return std::make_unique<Status>(); }
std::unique_ptr<Command> compare() { return std::make_unique<Compare>(); }

}  // namespace ulmfit::commands
