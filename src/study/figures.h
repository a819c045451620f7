// The figures of a study: means over seeds with their intervals, as tables for a terminal and as a page.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "reports/classification_metrics.h"
#include "study/results.h"

namespace ulmfit::study {

// A share of the test texts over the runs of one setting.
struct Figure {
  std::size_t runs = 0;
  double mean = 0;
  reports::Interval interval;  // 95 %: of the mean by Student's t; of a single run Wilson's
  std::string text() const;    // "16.20 % (14.10 to 18.30)"; "" without runs
};

// What of a result is looked at: its error, that of a direction, that of naive Bayes.
using Measure = std::function<std::optional<double>(const Result&)>;
Figure figure_of(const std::vector<Result>& results, const std::string& setting, std::int64_t labels,
                 const Measure& measure);

// A table filled in: names of the columns, then rows of a label and a text by column.
struct FilledTable {
  std::string title;
  std::string note;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};
// Of a low-shot study settings by numbers of labels, with naive Bayes; of an ablation the plan's tables, and what tuning
// has made the language model forget where that was measured.
std::vector<FilledTable> tables_of(const Study& study, const std::vector<Result>& results);

std::string tables_text(const std::vector<FilledTable>& tables);

// The page study.html.
std::string study_page(const StudyFolder& folder, const Study& study, const std::vector<Result>& results);

// Writes results.csv and study.html. Throws FileError.
void write_results(const StudyFolder& folder, const Study& study, const std::vector<Result>& results);

}  // namespace ulmfit::study
