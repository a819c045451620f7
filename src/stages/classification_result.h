// What is told of a classifier's answers: to programs, to people, and as a page.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "reports/classification_metrics.h"
#include "reports/html_report.h"
#include "stages/evaluate.h"

namespace ulmfit::stages {

inline constexpr const char* kEvaluationFile = "evaluation.json";
inline constexpr const char* kHardTextsFile = "top_losses.csv";

// Metrics (split, texts, error, its interval, macro-F1 and MCC with theirs, calibration, rejection below that probability,
// labels, confusion, top_losses) and the tables for people.
Evaluated classification_result(const reports::Classification& c, double reject_below = 0);

// Writes FOLDER/report.html, `metrics` as FOLDER/evaluation.json, and the texts with the highest loss, if any, as
// FOLDER/top_losses.csv.
void write_evaluation(const std::filesystem::path& folder, const reports::ReportInfo& info, const nlohmann::json& metrics);

using Summary = std::vector<std::pair<std::string, std::string>>;  // of a report

// Adds what a baseline does on the same texts, with Wilson's interval, to metrics, table and summary.
void add_baseline(const std::string& name, std::int64_t correct, std::int64_t texts, Evaluated& result, Summary& summary);

// Says, as `component`, what makes the figures doubtful, and adds it to metrics and summary. where: before each sentence in
// what is said.
void add_doubts(const std::vector<std::string>& doubts, const std::string& component, const std::string& where,
                Evaluated& result, Summary& summary);

// The answers of several classifiers, each on texts of its own, as one.
struct JoinedEvaluations {
  reports::Classification answers;
  std::map<std::string, std::int64_t> right_of_baselines;  // texts, by the name that stands in all: "naive Bayes"
  std::vector<std::string> doubts;                         // "FOLDER: ..."
};

// What write_evaluation() left in `folders` is added up, and of the texts with the highest loss as many kept as the first
// has. Throws DataError for a folder without it, or with other classes.
JoinedEvaluations joined_evaluations(const std::vector<std::filesystem::path>& folders);

}  // namespace ulmfit::stages
