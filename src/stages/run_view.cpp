#include "stages/run_view.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/file_lock.h"
#include "base/manifest.h"
#include "config/ini.h"
#include "stages/run_folder.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {
namespace {

constexpr const char* kConfigFile = "config.cfg";

bool has_key(const RunView& view, const std::string& key) {
  return std::any_of(view.settings.begin(), view.settings.end(), [&](const auto& s) { return s.first == key; });
}

std::int64_t newest_checkpoint(const fs::path& folder) {
  std::int64_t newest = -1;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    constexpr std::string_view kPrefix = "step-";
    if (!name.starts_with(kPrefix) || !fs::exists(entry.path() / kManifestName)) continue;
    std::int64_t step = -1;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), step);
    if (step > newest && !manifest_defect(entry.path(), /*checksums=*/false)) newest = step;
  }
  return newest;
}

// Seconds since the file was written; infinity without it.
double age_of(const fs::path& file) {
  std::error_code error;
  const auto written = fs::last_write_time(file, error);
  if (error) return std::numeric_limits<double>::infinity();
  return std::chrono::duration<double>(fs::file_time_type::clock::now() - written).count();
}

// "2026-01-31 E 12:00:00 ...": lines of log.h.
bool is_error(const std::string& line) {
  constexpr std::size_t kDate = 10;
  return line.size() > kDate + 3 && line.compare(kDate, 3, " E ") == 0;
}

// How a run that is neither alive nor finished ended, by the last words of its log; behind them a pipeline may have added
// some of its own.
RunState ended(const std::vector<std::string>& lines) {
  constexpr std::size_t kLast = 3;
  for (std::size_t i = lines.size(); i-- > 0 && lines.size() - i <= kLast;) {
    if (lines[i].find("stopped on a signal at step") != std::string::npos) return RunState::kStopped;
    if (is_error(lines[i])) return RunState::kFailed;
  }
  return RunState::kDied;
}

}  // namespace

double RunView::seconds_left() const {
  if (history.train.empty() || total_steps() == 0 || step() == 0) return std::nan("");
  const double elapsed = history.train.back().elapsed_seconds;
  return elapsed / static_cast<double>(step()) * static_cast<double>(std::max<std::int64_t>(total_steps() - step(), 0));
}

const reports::EvaluationReport* RunView::last() const { return history.valid.empty() ? nullptr : &history.valid.back(); }

RunView view_run(const fs::path& folder) {
  if (!fs::exists(folder / kConfigFile)) {
    throw DataError(str("no run in ", folder.string(), ": expected ", (folder / kConfigFile).string(),
                        "; give a folder that pretrain, finetune-lm or train-classifier writes to"));
  }
  RunView view;
  view.folder = folder;
  const fs::path file = folder / kConfigFile;
  view.settings = config::flat(config::read_ini(read_file(file), file.string()));
  const bool classifier = has_key(view, "data");
  view.command = classifier ? "train-classifier" : has_key(view, "from") ? "finetune-lm" : "pretrain";
  view.names = classifier ? reports::kClassifierMetrics : reports::kLanguageModelMetrics;
  view.history = reports::read_metrics(folder / "metrics.jsonl", view.names);
  // Metrics of one label and of several are kept under the same names but for this one.
  if (view.last() != nullptr && view.last()->values.contains("micro_f1")) view.names = reports::kMultilabelMetrics;
  view.checkpoint = newest_checkpoint(folder / "checkpoints");
  std::vector<std::string> lines;
  if (fs::exists(folder / "log.txt")) lines = read_lines(folder / "log.txt");
  if (!lines.empty()) view.last_line = lines.back();
  view.silent = std::min(age_of(folder / "log.txt"), age_of(folder / "metrics.jsonl"));
  const std::optional<std::string> holder = FolderLock::holder(folder);
  view.holder = holder.value_or("");
  view.state = holder ? RunState::kRunning : holds_finished_stage(folder / "stage") ? RunState::kFinished : ended(lines);
  return view;
}

std::vector<fs::path> run_folders(const fs::path& path) {
  constexpr int kDeepest = 4;
  std::vector<fs::path> found;
  const auto is_run = [](const fs::path& folder) {
    return fs::exists(folder / kConfigFile) && fs::exists(folder / ".lock");
  };
  if (!fs::is_directory(path)) throw DataError(str("cannot read ", path.string(), ": no such folder; check the path"));
  if (is_run(path)) return {path};
  std::error_code gone;  // folders come and go while runs are at work
  for (auto at = fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied, gone);
       !gone && at != fs::recursive_directory_iterator(); at.increment(gone)) {
    const bool aside = moved_aside(at->path());
    if (aside || !at->is_directory(gone) || !is_run(at->path())) {
      if (aside || at.depth() >= kDeepest) at.disable_recursion_pending();
      continue;
    }
    found.push_back(at->path());
    at.disable_recursion_pending();
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace ulmfit::stages
