// What the cells of a study have reached.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reports/classification_metrics.h"
#include "reports/svg_chart.h"
#include "study/study_folder.h"

namespace ulmfit::study {

// Shares of the test texts; none where the cell has not measured it.
struct Result {
  Cell cell;
  State state = State::kOpen;
  Record record;
  std::int64_t test_texts = 0;
  std::optional<double> error{};          // of all its classifiers together
  reports::Interval error_interval{};     // Wilson
  std::optional<double> error_forward{};  // of each, where there is one of each direction
  std::optional<double> error_backward{};
  std::optional<double> macro_f1{};
  std::optional<double> naive_bayes{};         // error of the baseline on word counts
  std::optional<double> general_perplexity{};  // of its language model, on text of the general domain
};

// Reads what a cell that is done has written. What is missing or damaged is left out, with a warning.
Result read_result(const StudyFolder& folder, const Cell& cell, State state);

// Of all cells, in their order.
std::vector<Result> read_results(const StudyFolder& folder, const std::vector<Cell>& cells);

// A line a cell, behind a line of names. Shares as numbers from 0 to 1.
std::string to_csv(const std::vector<Result>& results);

// Error in % of the validation texts after each epoch of the cell's classifier.
std::vector<reports::Point> error_by_epoch(const StudyFolder& folder, const std::string& cell);

}  // namespace ulmfit::study
