// The run folder OUT of a stage: its lock, its resolved configuration, whether it is new, to be continued, or finished.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/file.h"
#include "comm/communicator.h"
#include "config/option_set.h"

namespace ulmfit::stages {

class RunFolder {
 public:
  // Rank 0 creates the folder (or moves an old one aside if `restart`), locks it, and compares the saved configuration with
  // `set`: ConfigError lists the keys that differ. The other ranks touch nothing. Collective only through the errors it
  // throws.
  RunFolder(std::filesystem::path folder, const config::OptionSet& set, bool restart, const comm::Communicator& comm);

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path stage() const { return folder_ / "stage"; }
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }

  // A finished stage stands in `path`/stage (its manifest is whole).
  static bool finished(const std::filesystem::path& path);

 private:
  std::filesystem::path folder_;
  std::unique_ptr<FolderLock> lock_;
};

}  // namespace ulmfit::stages
