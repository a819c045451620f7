#include "study/results.h"

#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "data_prep/csv_writer.h"
#include "reports/metrics.h"
#include "stages/classification_result.h"

namespace ulmfit::study {
namespace {

using nlohmann::json;

json evaluation(const StudyFolder& folder, const std::string& cell, const std::string& name) {
  const fs::path file = folder.cell(cell) / name / stages::kEvaluationFile;
  return fs::exists(file) ? parse_json(read_file(file)) : json();
}

std::optional<double> error_of(const json& evaluated) {
  return evaluated.is_object() ? std::optional<double>(evaluated.at("error")) : std::nullopt;
}

void read_evaluations(const StudyFolder& folder, Result& result) {
  const std::string& cell = result.cell.name;
  result.error_forward = error_of(evaluation(folder, cell, "evaluation-forward"));
  result.error_backward = error_of(evaluation(folder, cell, "evaluation-backward"));
  const json all = evaluation(folder, cell, "evaluation");
  if (!all.is_object()) return;
  result.error = all.at("error");
  result.error_interval = {all.at("error_low"), all.at("error_high")};
  result.macro_f1 = all.at("macro_f1");
  result.test_texts = all.at("texts");
  for (const json& baseline : all.value("baselines", json::array())) {
    if (baseline.at("name").get<std::string>().starts_with("naive Bayes")) result.naive_bayes = baseline.at("error");
  }
}

// `evaluate` of a language model prints a list of models.
void read_perplexity(const StudyFolder& folder, Result& result) {
  const fs::path file = folder.cell(result.cell.name) / "output.jsonl";
  if (!fs::exists(file)) return;
  for (const std::string& line : read_lines(file)) {
    if (!line.starts_with('[')) continue;
    for (const json& model : parse_json(line)) result.general_perplexity = model.at("perplexity");
  }
}

std::string number(const std::optional<double>& value) {
  if (!value) return "";
  std::ostringstream out;
  out.precision(9);
  out << *value;
  return out.str();
}

}  // namespace

Result read_result(const StudyFolder& folder, const Cell& cell, State state) {
  Result result{.cell = cell, .state = state, .record = folder.record(cell.name)};
  if (state != State::kDone) return result;
  try {
    read_evaluations(folder, result);
    read_perplexity(folder, result);
  } catch (const json::exception& e) {
    log::warn("study", str("the results of cell ", cell.name, " cannot be read: ", e.what()));
  }
  return result;
}

std::vector<Result> read_results(const StudyFolder& folder, const std::vector<Cell>& cells) {
  std::vector<Result> results;
  const auto states = states_of(cells, folder.records(cells));
  for (const Cell& cell : cells) results.push_back(read_result(folder, cell, states.at(cell.name)));
  return results;
}

std::string to_csv(const std::vector<Result>& results) {
  std::string csv =
      "cell,setting,labels,seed,state,error,error_low,error_high,error_forward,error_backward,macro_f1,naive_bayes_error,"
      "general_perplexity,test_texts,seconds,exit_code,message\n";
  for (const Result& r : results) {
    const auto low = r.error ? std::optional<double>(r.error_interval.low) : std::nullopt;
    const auto high = r.error ? std::optional<double>(r.error_interval.high) : std::nullopt;
    std::vector<std::string> fields{r.cell.name, r.cell.setting, r.cell.labels > 0 ? str(r.cell.labels) : "",
                                    r.cell.seed > 0 ? str(r.cell.seed) : "", name_of(r.state)};
    for (const auto& value :
         {r.error, low, high, r.error_forward, r.error_backward, r.macro_f1, r.naive_bayes, r.general_perplexity}) {
      fields.push_back(number(value));
    }
    fields.push_back(r.test_texts > 0 ? str(r.test_texts) : "");
    fields.push_back(number(r.record.seconds));
    fields.push_back(str(r.record.exit_code));
    fields.push_back(r.record.message);
    csv += data_prep::csv_record(fields);
  }
  return csv;
}

std::vector<reports::Point> error_by_epoch(const StudyFolder& folder, const std::string& cell) {
  std::vector<reports::Point> points;
  const auto history =
      reports::read_metrics(folder.cell(cell) / "classifier" / "metrics.jsonl", reports::kClassifierMetrics);
  for (const reports::EvaluationReport& report : history.valid) {
    const auto error = report.values.find("error");
    if (report.split == "valid" && error != report.values.end()) points.push_back({report.epoch, 100 * error->second});
  }
  return points;
}

}  // namespace ulmfit::study
