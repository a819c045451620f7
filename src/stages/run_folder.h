// The run folder OUT of a stage: its lock, its resolved configuration, whether it is new, to be continued, or finished.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/file_lock.h"
#include "comm/communicator.h"
#include "comm/world_check.h"
#include "config/option_set.h"
#include "stages/options.h"

namespace ulmfit::stages {

// Whether --restart has put this folder aside.
bool moved_aside(const std::filesystem::path& folder);

class RunFolder {
 public:
  // Rank 0 creates the folder run.output, or moves an old one aside for --restart, holds its lock (CheckpointError if
  // another run does) and logs to its log.txt. In an old folder it compares the saved configuration with `set` (ConfigError
  // lists the keys that differ, apart from those that --extend may change) and `inputs` with those recorded
  // (run_identity.h). The other ranks touch nothing. Collective only through the errors it throws.
  RunFolder(const RunOptions& run, const config::OptionSet& set, const comm::Facts& inputs, const comm::Communicator& comm);

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }

  // What --extend changes, on rank 0; empty when the folder has these settings already.
  const std::vector<config::OptionSet::Difference>& changes() const { return changes_; }
  // Makes the settings of `set` those of the folder; a finished stage moves to `path`/stage-before-extension. Rank 0.
  void extend(const config::OptionSet& set);

  // A finished stage stands in `path`/stage (its manifest is whole).
  static bool finished(const std::filesystem::path& path);

 private:
  std::filesystem::path folder_;
  std::unique_ptr<FolderLock> lock_;
  std::vector<config::OptionSet::Difference> changes_;
};

// True, and said, when run.output holds the finished stage that `set` asks for, made of `known_inputs`: what can still be
// read of the inputs, for those of a finished stage may be gone. Throws as RunFolder does. Decided by rank 0; collective.
bool nothing_to_do(const RunOptions& run, const std::string& command, const config::OptionSet& set,
                   const std::function<comm::Facts()>& known_inputs, comm::Communicator& comm);

}  // namespace ulmfit::stages
