#include "stages/run_folder.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/manifest.h"
#include "stages/compute.h"
#include "stages/run_identity.h"

namespace ulmfit::stages {
namespace {

constexpr const char* kAside = ".old-";  // behind the name, and a number

// A run that is alive there keeps its folder: its lock is taken first, and moves with the folder.
void move_aside(const fs::path& folder) {
  const FolderLock lock(folder);
  for (int n = 1;; ++n) {
    const fs::path aside = folder.string() + kAside + std::to_string(n);
    if (fs::exists(aside)) continue;
    rename_synced(folder, aside);
    log::info("run", str("moved the old run folder to ", aside.string()));
    return;
  }
}

std::string told(const std::vector<config::OptionSet::Difference>& differences) {
  std::string text;
  for (const auto& d : differences) {
    text += str("\n  ", d.key, ": ", d.before, " in the run folder, ", d.now, " now");
    if (d.by_default) text += " (not given: the default)";
  }
  return text;
}

bool before_finish(const config::OptionSet::Difference& d) { return d.resume == config::OnResume::kBeforeFinish; }

// Throws unless every difference is one that --extend, or a stage that is not finished, allows.
void check_differences(const std::vector<config::OptionSet::Difference>& differences, const RunOptions& run,
                       const fs::path& folder) {
  const auto lengthens = [](const auto& d) { return d.resume == config::OnResume::kMayExtend; };
  const auto allowed = [&](const auto& d) {
    return (lengthens(d) && run.extend) || (before_finish(d) && !RunFolder::finished(folder));
  };
  if (std::all_of(differences.begin(), differences.end(), allowed)) return;
  const bool any_length = std::any_of(differences.begin(), differences.end(), lengthens);
  throw RunChanged(str("run folder ", folder.string(), " was made with other settings:", told(differences)),
                   str("use the same settings, another --output, or --restart to move it aside",
                       any_length && !run.extend ? "; --extend trains it longer" : ""));
}

// "OUT/" and "OUT" are the same folder.
fs::path normal(const fs::path& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

// A checkpoint or a stage stands in the folder.
bool holds_training(const fs::path& folder) {
  const fs::path checkpoints = folder / "checkpoints";
  return fs::exists(folder / "stage") || (fs::exists(checkpoints) && !fs::is_empty(checkpoints));
}

// Refuses a folder that holds something else than a run.
void check_new(const fs::path& folder) {
  if (!fs::exists(folder) || fs::is_empty(folder)) return;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path name = entry.path().filename();
    if (name == ".lock" || name == "config.cfg.tmp") continue;  // of a run that was killed before it wrote config.cfg
    throw ConfigError(
        str("--output ", folder.string(), " has files but is not a run folder (no config.cfg); give another folder"));
  }
}

}  // namespace

bool moved_aside(const fs::path& folder) { return folder.filename().string().find(kAside) != std::string::npos; }

RunFolder::RunFolder(const RunOptions& run, const config::OptionSet& set, const comm::Facts& inputs,
                     const comm::Communicator& comm)
    : folder_(normal(run.output)) {
  if (comm.rank() != 0) return;
  if (run.extend && run.restart) {
    throw ConfigError("--extend goes on with a run folder, --restart begins anew: give one of them");
  }
  if (run.restart && fs::exists(folder_)) move_aside(folder_);
  const fs::path config = folder_ / "config.cfg";
  const bool old = fs::exists(config);
  if (!old) check_new(folder_);
  if (!old && run.extend) throw ConfigError(str("--extend: there is no run in ", folder_.string(), "; check --output"));
  make_directories(folder_);
  lock_ = std::make_unique<FolderLock>(folder_);
  if (!old) write_file_atomic(config, set.to_config());  // first of all: without it the folder is no run's
  log::open_file(folder_ / "log.txt");
  if (old) {
    changes_ = set.differences(read_file(config));
    std::erase_if(changes_, is_older_default_precision);
    check_differences(changes_, run, folder_);
    const bool settled = std::erase_if(changes_, before_finish) > 0 && changes_.empty();
    if (settled) write_file_atomic(config, set.to_config());
  }
  RunIdentity(folder_).check_inputs(inputs, holds_training(folder_));
}

void RunFolder::extend(const config::OptionSet& set) {
  // In this order, a kill between the two leaves the old run without its stage: started again, it writes it anew.
  if (fs::exists(folder_ / "stage")) {
    fs::remove_all(folder_ / "stage-before-extension");
    rename_synced(folder_ / "stage", folder_ / "stage-before-extension");
  }
  write_file_atomic(folder_ / "config.cfg", set.to_config());
  changes_.clear();
}

bool RunFolder::finished(const fs::path& path) {
  return fs::exists(path / "stage" / kManifestName) && !manifest_defect(path / "stage", /*checksums=*/false);
}

bool nothing_to_do(const RunOptions& run, const std::string& command, const config::OptionSet& set,
                   const std::function<comm::Facts()>& known_inputs, comm::Communicator& comm) {
  if (run.dry_run || run.restart) return false;
  const bool done =
      comm.rank() == 0 && RunFolder::finished(run.output) && RunFolder(run, set, known_inputs(), comm).changes().empty();
  if (!comm.broadcast_flag(done, 0)) return false;
  log::info(command,
            str(run.output, " is finished: nothing to do (ulmfit ", command, " --restart trains anew, --extend longer)"));
  return true;
}

}  // namespace ulmfit::stages
