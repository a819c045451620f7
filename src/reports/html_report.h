// OUT/report.html: what a run did, at a glance, in one file that opens anywhere.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "reports/classification_metrics.h"
#include "reports/metric_names.h"
#include "reports/multilabel_metrics.h"

namespace ulmfit::reports {

struct ReportInfo {
  std::string title;
  std::string stage;                                         // "Language model, general text"
  std::vector<std::pair<std::string, std::string>> summary;  // name and value, in the order shown
  MetricNames names;
  std::optional<Classification> classification;  // of a classifier's evaluation
  std::string config_text;
  std::optional<Multilabel> multilabel{};  // in its place, where texts have several labels
};

// Draws RUN_FOLDER/metrics.jsonl (as much of it as there is) and `info` into RUN_FOLDER/report.html. All texts are escaped.
// Throws FileError if it cannot be written, std::invalid_argument if confusion matrix and labels do not fit together.
void write_html_report(const fs::path& run_folder, const ReportInfo& info);

}  // namespace ulmfit::reports
