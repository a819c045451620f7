// Several runs on one page: what they differ in, what they reached, their curves over one another.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "reports/metrics.h"

namespace ulmfit::reports {

struct ComparedRun {
  std::string name;
  MetricNames names;
  MetricsHistory history;
  std::vector<std::pair<std::string, std::string>> settings;
  std::vector<std::pair<std::string, std::string>> figures;  // name and value, the same names in all
};

// A key of the settings and its value in each run, "" where it has none.
struct SettingRow {
  std::string key;
  std::vector<std::string> values;
};

// The settings whose values are not the same in all, in the order of their first appearance.
std::vector<SettingRow> differing_settings(const std::vector<ComparedRun>& runs);

// A table for a terminal: figures, then the settings that differ, a column a run. Runs of one kind (perplexity, error) are
// compared with one another: each kind has a table, as it has charts on the page.
std::string comparison_text(const std::vector<ComparedRun>& runs);

// FOLDER/report.html: the evaluations (folder, and what was found), then the runs. Throws FileError.
void write_comparison(const fs::path& folder, const std::vector<ComparedRun>& runs,
                      const std::vector<std::pair<std::string, std::string>>& evaluations = {});

}  // namespace ulmfit::reports
