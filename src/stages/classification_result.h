// What is told of a classifier's answers: to programs, to people, and as a page.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "reports/classification_metrics.h"
#include "reports/html_report.h"
#include "stages/evaluate.h"

namespace ulmfit::stages {

inline constexpr const char* kEvaluationFile = "evaluation.json";

// Metrics (split, texts, error, its interval, macro-F1 and MCC with theirs, calibration, rejection below that probability,
// labels, confusion, top_losses) and the tables for people.
Evaluated classification_result(const reports::Classification& c, double reject_below = 0);

// Writes FOLDER/report.html, and `metrics` as FOLDER/evaluation.json.
void write_evaluation(const std::filesystem::path& folder, const reports::ReportInfo& info, const nlohmann::json& metrics);

// The answers of several classifiers, each on texts of its own, as one: what write_evaluation() left in `folders` is added
// up, and of the texts with the highest loss as many kept as the first has. Throws DataError for a folder without it, or
// with other classes.
reports::Classification joined_evaluations(const std::vector<std::filesystem::path>& folders);

}  // namespace ulmfit::stages
