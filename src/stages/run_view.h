// A run folder seen from outside, while it is trained, after it, or after it died: nothing is locked, changed or waited
// for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reports/metrics.h"

namespace ulmfit::stages {

enum class RunState {
  kFinished,
  kRunning,
  kStopped,  // by a signal, after saving
  kFailed,   // with a message
  kDied      // without a word: killed, or the machine failed
};

struct RunView {
  std::filesystem::path folder;
  std::string command;  // that trains there: pretrain, finetune-lm, train-classifier
  RunState state = RunState::kDied;
  std::string holder;     // of one that runs: host and process
  std::string last_line;  // of its log
  double silent = 0;      // seconds since it last wrote there, or to its metrics
  reports::MetricNames names;
  reports::MetricsHistory history;
  std::int64_t checkpoint = -1;  // step of the newest whole one; -1: none
  std::vector<std::pair<std::string, std::string>> settings;

  // Step and steps of the run as last reported; 0: not known.
  std::int64_t step() const { return history.train.empty() ? 0 : history.train.back().step; }
  std::int64_t total_steps() const { return history.train.empty() ? 0 : history.train.back().total_steps; }
  double seconds_left() const;  // at the mean speed so far; NaN: not known
  // The last evaluation; null: there is none.
  const reports::EvaluationReport* last() const;
};

// Throws DataError for a folder that is no run folder, FileError for one that cannot be read.
RunView view_run(const std::filesystem::path& folder);

// The run folders that PATH stands for: itself, or those below it, by their names; may be none. Throws DataError where
// there is no such folder.
std::vector<std::filesystem::path> run_folders(const std::filesystem::path& path);

}  // namespace ulmfit::stages
