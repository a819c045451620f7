// The folder of a study, which any number of workers share. Pipelines name what is in it relative to it, so that it may
// move.
//
//   study.json     what was asked, of which sources, and the cells; written last: without it there is no study
//   texts/         subsets, validation and test texts of a low-shot study, JSON lines
//   cells/NAME/    pipeline.cfg, log.txt (all that the cell's runs said), output.jsonl (what its last run printed),
//                  state.json (how it ended), .lock (held while it runs), launch (the launcher's job that it runs in),
//                  and what its pipeline makes
//   .worker        held by the only worker where the file system has no locks
//   results.csv, study.html
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/option_set.h"
#include "study/plan.h"

namespace ulmfit::study {

// What study.json keeps.
struct Study {
  std::string kind;
  std::string config;  // OptionSet::to_config()
  nlohmann::json sources;
  std::vector<std::string> places{};  // of the sources, as the pipelines name them; none: not known
  std::vector<Cell> cells;
  std::vector<std::string> notes;
  std::vector<Table> tables;
};

class StudyFolder {
 public:
  explicit StudyFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path cell(const std::string& name) const { return folder_ / "cells" / name; }

  bool exists() const;  // holds a study.json
  // Throws DataError for a study.json that no program wrote, or a newer one.
  Study read() const;
  // Writes pipelines and files, then study.json. As check_parts.
  void write(const Study& study, const Plan& plan) const;
  // Names the sources' new places, in the same order, in the pipelines of all cells and in study.json.
  void sources_have_moved(Study study, const std::vector<std::string>& places) const;

  Record record(const std::string& cell) const;  // an open one where there is none, or it cannot be read
  // Of all of them. A broken cell that a worker tries again is an open one.
  std::map<std::string, Record> records(const std::vector<Cell>& cells) const;
  void keep(const std::string& cell, const Record& record) const;

  // Host and process of the worker that runs the cell, which is in this state; nothing if none does.
  std::optional<std::string> holder(const std::string& cell, State state) const;

 private:
  void write_study(const Study& study) const;
  std::filesystem::path folder_;
};

// Throws DataError, naming it, for anything in the folder that is no part of a study.
void check_parts(const std::filesystem::path& folder);

// Files by name, size and checksum, stages by that of their manifest. Throws DataError, CheckpointError for what is gone.
nlohmann::json sources_of(const Request& request);

// The paths of the same.
std::vector<std::string> places_of(const Request& request);

// Throws ConfigError unless the folder's study is of that kind, those settings and these sources: names each that differs.
// Returns whether it is of the same size: false, if --labels or --seeds are others.
bool require_same_study(const StudyFolder& folder, const Study& study, const Request& request,
                        const config::OptionSet& settings);

// Whether the plan has more cells than the study, which may grow by more labels and seeds; not where it has fewer: another
// worker has made the study grow since. Throws ConfigError if it has more and lacks some, or a cell would be another one.
bool grows(const StudyFolder& folder, const Study& study, const Plan& plan);

}  // namespace ulmfit::study
