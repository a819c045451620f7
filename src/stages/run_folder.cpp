#include "stages/run_folder.h"

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/manifest.h"

namespace ulmfit::stages {
namespace {

void move_aside(const fs::path& folder) {
  for (int n = 1;; ++n) {
    const fs::path aside = folder.string() + ".old-" + std::to_string(n);
    if (fs::exists(aside)) continue;
    rename_synced(folder, aside);
    log::info("run", str("moved the old run folder to ", aside.string()));
    return;
  }
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += "\n  " + line;
  return text;
}

}  // namespace

RunFolder::RunFolder(fs::path folder, const config::OptionSet& set, bool restart, const comm::Communicator& comm)
    : folder_(fs::absolute(std::move(folder)).lexically_normal()) {
  if (!folder_.has_filename()) folder_ = folder_.parent_path();
  if (comm.rank() != 0) return;
  if (restart && fs::exists(folder_)) move_aside(folder_);
  const fs::path config = folder_ / "config.cfg";
  const bool old = fs::exists(config);
  if (!old && fs::exists(folder_) && !fs::is_empty(folder_)) {
    bool only_lock = true;
    for (const auto& entry : fs::directory_iterator(folder_)) only_lock = only_lock && entry.path().filename() == ".lock";
    if (!only_lock) {
      throw ConfigError(
          str("--output ", folder_.string(), " has files but is not a run folder (no config.cfg); give another folder"));
    }
  }
  make_directories(folder_);
  lock_ = std::make_unique<FolderLock>(folder_);
  if (!old) {
    write_file_atomic(config, set.to_config());
    return;
  }
  const auto differences = set.differences(read_file(config));
  if (!differences.empty()) {
    throw ConfigError(str("run folder ", folder_.string(), " was made with other settings:", joined(differences),
                          "\nuse the same settings, another --output, or --restart to move it aside"));
  }
}

bool RunFolder::finished(const fs::path& path) {
  return fs::exists(path / "stage" / kManifestName) && !manifest_defect(path / "stage", /*checksums=*/false);
}

}  // namespace ulmfit::stages
