#include "study/figures.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "reports/mean_interval.h"
#include "reports/number_format.h"

namespace ulmfit::study {
namespace {

using reports::fixed;

std::optional<double> error_of(const Result& r) { return r.error; }
std::optional<double> error_forward_of(const Result& r) { return r.error_forward; }
std::optional<double> error_backward_of(const Result& r) { return r.error_backward; }
std::optional<double> naive_bayes_of(const Result& r) { return r.naive_bayes; }

std::vector<std::int64_t> labels_of(const std::vector<Result>& results) {
  std::set<std::int64_t> labels;
  for (const Result& r : results) {
    if (r.cell.labels > 0) labels.insert(r.cell.labels);
  }
  return {labels.begin(), labels.end()};
}

// "" where there is nothing to tell; else why figures are missing, or of how many runs they are.
std::string remark(const std::vector<Result>& results, const std::string& setting, std::int64_t labels,
                   std::size_t measured) {
  std::size_t broken = 0, cells = 0;
  for (const Result& r : results) {
    if (r.cell.setting != setting || r.cell.labels != labels) continue;
    ++cells;
    broken += r.state == State::kBroken || r.state == State::kBlocked;
  }
  if (measured == cells) return "";
  return str(measured, " of ", cells, " runs", broken > 0 ? ", the others broken" : "");
}

std::string told(const std::vector<Result>& results, const std::string& setting, std::int64_t labels,
                 const Measure& measure) {
  const Figure figure = figure_of(results, setting, labels, measure);
  const std::string missing = remark(results, setting, labels, figure.runs);
  if (missing.empty() || figure.runs == 0) return figure.text() + missing;
  return str(figure.text(), ", ", missing);
}

FilledTable low_shot_table(const Table& table, const std::vector<Result>& results) {
  FilledTable filled{table.title, table.note, {"labels"}, {}};
  const std::vector<std::int64_t> labels = labels_of(results);
  for (const std::int64_t n : labels) filled.columns.push_back(reports::grouped(n));
  const auto add = [&](const std::string& label, const std::string& setting, const Measure& measure) {
    std::vector<std::string> row{label};
    for (const std::int64_t n : labels) row.push_back(told(results, setting, n, measure));
    filled.rows.push_back(std::move(row));
  };
  const bool directions = std::any_of(results.begin(), results.end(), [](const Result& r) { return r.error_forward; });
  for (const Row& row : table.rows) {
    add(row.label, row.setting, error_of);
    if (!directions) continue;
    add(row.label + ", forward alone", row.setting, error_forward_of);
    add(row.label + ", backward alone", row.setting, error_backward_of);
  }
  add("naive Bayes of word counts", "scratch", naive_bayes_of);
  return filled;
}

FilledTable ablation_table(const Table& table, const std::vector<Result>& results) {
  FilledTable filled{table.title, table.note, {"", "error (95 % interval)"}, {}};
  for (const Row& row : table.rows) filled.rows.push_back({row.label, told(results, row.setting, 0, error_of)});
  return filled;
}

// What tuning does to the perplexity of general text; nothing where that was not measured.
std::vector<FilledTable> forgetting(const std::vector<Result>& results) {
  const std::pair<const char*, const char*> kStages[] = {{"the given model, untuned", "general-lm-untuned"},
                                                         {"full", "general-lm-full"},
                                                         {"full + discr", "general-lm-full-discr"},
                                                         {"full + discr + stlr", "general-lm-tuned"}};
  FilledTable filled{"What tuning makes the language model forget",
                     "Perplexity on text of the general domain, in the words of this study: the more it rises above the "
                     "untuned model's, the more was forgotten.",
                     {"", "perplexity (95 % interval)"},
                     {}};
  for (const auto& [label, setting] : kStages) {
    std::vector<double> values;
    for (const Result& r : results) {
      if (r.cell.setting == setting && r.general_perplexity) values.push_back(*r.general_perplexity);
    }
    if (values.empty()) continue;
    const std::string missing = remark(results, setting, 0, values.size());
    const reports::MeanInterval m = reports::mean_interval(values);
    const std::string interval = str(" (", fixed(m.interval.low, 1), " to ", fixed(m.interval.high, 1), ")");
    filled.rows.push_back(
        {label, fixed(m.mean, 1) + (m.spread > 0 ? interval : "") + (missing.empty() ? "" : ", " + missing)});
  }
  return filled.rows.empty() ? std::vector<FilledTable>() : std::vector<FilledTable>{filled};
}

}  // namespace

std::string Figure::text() const {
  if (runs == 0) return "";
  if (runs > 1 && interval.low == interval.high) return fixed(100 * mean, 2) + " % (all runs alike)";
  return str(fixed(100 * mean, 2), " % (", fixed(100 * interval.low, 2), " to ", fixed(100 * interval.high, 2), ")");
}

Figure figure_of(const std::vector<Result>& results, const std::string& setting, std::int64_t labels,
                 const Measure& measure) {
  std::vector<double> values;
  std::int64_t texts = 0;
  for (const Result& r : results) {
    if (r.cell.setting != setting || r.cell.labels != labels || r.state != State::kDone) continue;
    const std::optional<double> value = measure(r);
    if (!value) continue;
    values.push_back(*value);
    texts = r.test_texts;
  }
  const reports::MeanInterval m = reports::mean_interval(values);
  Figure figure{values.size(), m.mean, {std::max(m.interval.low, 0.0), std::min(m.interval.high, 1.0)}};
  if (values.size() == 1) {
    figure.interval = reports::wilson_interval(std::llround(values[0] * static_cast<double>(texts)), texts);
  }
  return figure;
}

std::vector<FilledTable> tables_of(const Study& study, const std::vector<Result>& results) {
  std::vector<FilledTable> tables;
  for (const Table& table : study.tables) {
    tables.push_back(study.kind == kLowShot ? low_shot_table(table, results) : ablation_table(table, results));
  }
  for (FilledTable& table : forgetting(results)) tables.push_back(std::move(table));
  return tables;
}

std::string tables_text(const std::vector<FilledTable>& tables) {
  std::string text;
  for (const FilledTable& table : tables) {
    std::vector<std::vector<std::string>> lines{table.columns};
    lines.insert(lines.end(), table.rows.begin(), table.rows.end());
    std::vector<std::size_t> widths(table.columns.size(), 0);
    for (const auto& line : lines) {
      for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
    }
    text += "\n" + table.title + "\n";
    for (const auto& line : lines) {
      text += " ";
      for (std::size_t i = 0; i < line.size(); ++i) {
        text += " " + line[i] + (i + 1 < line.size() ? std::string(widths[i] + 1 - line[i].size(), ' ') : "");
      }
      text += "\n";
    }
  }
  return text;
}

void write_results(const StudyFolder& folder, const Study& study, const std::vector<Result>& results) {
  write_file_atomic(folder.path() / "results.csv", to_csv(results));
  write_file_atomic(folder.path() / "study.html", study_page(folder, study, results));
}

}  // namespace ulmfit::study
