#include "stages/classification_result.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iomanip>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "data_prep/csv_writer.h"
#include "reports/calibration.h"
#include "reports/number_format.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

// "error 17.00 % (95 % interval 14.79 to 19.46 %)". right: the interval of the share that is right.
std::string error_text(double error, const reports::Interval& right) {
  char text[100];
  std::snprintf(text, sizeof text, "error %.2f %% (95 %% interval %.2f to %.2f %%)", 100 * error, 100 * (1 - right.high),
                100 * (1 - right.low));
  return text;
}

std::string matrix_text(const reports::Classification& c) {
  std::ostringstream out;
  out << "\nconfusion (row: given, column: predicted)\n";
  for (std::size_t r = 0; r < c.labels.size(); ++r) {
    out << std::left << std::setw(24) << c.labels[r] << std::right;
    for (const auto n : c.confusion[r]) out << ' ' << std::setw(6) << n;
    out << '\n';
  }
  return out.str();
}

// In place of a matrix that would fill the screen.
std::string mistakes_text(const reports::Classification& c) {
  std::string text = "\nmost frequent mistakes (texts: given, predicted)\n";
  for (const auto& [given, predicted, texts] : reports::frequent_mistakes(c.confusion, reports::kShownMistakes)) {
    text += str("  ", texts, ": ", c.labels[given], ", ", c.labels[predicted], '\n');
  }
  return text;
}

std::string table_text(const reports::Classification& c, const reports::ClassificationMetrics& metrics,
                       const reports::ResampledIntervals& intervals) {
  std::ostringstream out;
  char row[200];
  std::snprintf(row, sizeof row, "%-24s %9s %9s %9s %8s\n", "class", "precision", "recall", "F1", "texts");
  out << '\n' << row;
  for (std::size_t k = 0; k < c.labels.size(); ++k) {
    const auto& f = metrics.classes[k];
    std::snprintf(row, sizeof row, " %9.3f %9.3f %9.3f %8lld\n", f.precision, f.recall, f.f1,
                  static_cast<long long>(f.support));
    out << std::left << std::setw(24) << c.labels[k] << row;
  }
  out << (c.labels.size() <= reports::kLargestMatrix ? matrix_text(c) : mistakes_text(c));
  std::snprintf(row, sizeof row, ", macro-F1 %.3f (%.3f to %.3f), MCC %.3f (%.3f to %.3f), %lld texts\n", metrics.macro_f1,
                intervals.macro_f1.low, intervals.macro_f1.high, metrics.mcc, intervals.mcc.low, intervals.mcc.high,
                static_cast<long long>(metrics.texts));
  out << '\n' << error_text(metrics.error, metrics.accuracy_interval) << row;
  return out.str();
}

std::string hardest_table(const std::vector<reports::HardText>& texts) {
  constexpr std::size_t kWidth = 90;
  constexpr std::size_t kMost = 20;  // on a screen; all are in the report
  if (texts.empty()) return "";
  std::string table = "\nhighest loss: given label, predicted label and its probability, text\n";
  for (std::size_t i = 0; i < std::min(texts.size(), kMost); ++i) {
    const reports::HardText& t = texts[i];
    char numbers[40];
    std::snprintf(numbers, sizeof numbers, "%7.2f  ", t.loss);
    std::string beginning = t.text.substr(0, kWidth);
    while (!beginning.empty() && beginning.size() < t.text.size() && (t.text[beginning.size()] & 0xC0) == 0x80) {
      beginning.pop_back();  // not within a character
    }
    table += str(numbers, t.given, "  ", t.predicted, " ", std::llround(100 * t.probability), " %  ",
                 t.place.empty() ? "" : t.place + "  ", beginning, "\n");
  }
  return table;
}

std::string calibration_text(const reports::Calibration& calibration, double reject_below) {
  if (calibration.answers.empty()) return "";
  char line[200];
  std::snprintf(line, sizeof line, "calibration error %.1f %%",
                100 * reports::expected_calibration_error(calibration.answers));
  std::string text = line;
  if (calibration.temperature) {
    std::snprintf(line, sizeof line, "; at temperature %.3f, fitted on the validation texts, %.1f %%",
                  *calibration.temperature, 100 * reports::expected_calibration_error(calibration.at_temperature));
    text += line;
  }
  text += '\n';
  if (reject_below > 0) {
    const reports::Rejection r = reports::reject_below(calibration.best(), reject_below);
    const char* how = calibration.temperature ? " (at that temperature)" : "";
    if (r.answered == 0) {
      std::snprintf(line, sizeof line, "rejected below %g%s: no text is answered\n", reject_below, how);
    } else {
      std::snprintf(line, sizeof line,
                    "rejected below %g%s: %.1f %% answered, error %.2f %% (95 %% interval %.2f to %.2f %%)\n", reject_below,
                    how, 100 * r.coverage, 100 * r.error, 100 * r.error_interval.low, 100 * r.error_interval.high);
    }
    text += line;
  }
  return text;
}

json calibration_json(const reports::Calibration& calibration) {
  json bins = json::array();
  for (const reports::ReliabilityBin& bin : reports::reliability_bins(calibration.answers)) {
    bins.push_back({{"texts", bin.texts}, {"confidence", bin.confidence}, {"accuracy", bin.accuracy}});
  }
  json result = {{"error", reports::expected_calibration_error(calibration.answers)}, {"bins", bins}};
  if (calibration.temperature) {
    result["temperature"] = *calibration.temperature;
    result["error_at_temperature"] = reports::expected_calibration_error(calibration.at_temperature);
  }
  return result;
}

json rejection_json(const std::vector<reports::Confidence>& answers, double probability) {
  const reports::Rejection r = reports::reject_below(answers, probability);
  return {{"below", probability},
          {"coverage", r.coverage},
          {"texts", r.answered},
          {"error", r.error},
          {"error_low", r.error_interval.low},
          {"error_high", r.error_interval.high}};
}

json hardest_json(const reports::HardText& t) {
  json entry = {{"document", t.document},       {"given", t.given}, {"predicted", t.predicted}, {"loss", t.loss},
                {"probability", t.probability}, {"text", t.text}};
  if (!t.place.empty()) entry["place"] = t.place;
  if (!t.words.empty()) entry["words"] = t.words;
  return entry;
}

reports::HardText hardest_from(const json& entry) {
  return {.document = entry.at("document"),
          .place = entry.value("place", ""),
          .given = entry.at("given"),
          .predicted = entry.at("predicted"),
          .loss = entry.at("loss"),
          .probability = entry.at("probability"),
          .text = entry.at("text"),
          .words = entry.value("words", std::vector<std::string>())};
}

// For a spreadsheet, or a script that mends labels.
void write_hard_texts(const fs::path& file, const std::vector<reports::HardText>& texts) {
  std::string records = data_prep::csv_record({"place", "given", "predicted", "probability", "loss", "text", "words"});
  for (const reports::HardText& t : texts) {
    std::string words;
    for (const std::string& word : t.words) words += (words.empty() ? "" : " ") + word;
    records += data_prep::csv_record(
        {t.place, t.given, t.predicted, reports::fixed(t.probability, 4), reports::fixed(t.loss, 4), t.text, words});
  }
  write_file_atomic(file, records);
}

struct Evaluation {
  reports::Classification answers;
  std::map<std::string, double> errors_of_baselines;
  std::vector<std::string> doubts;
};

Evaluation read_evaluation(const fs::path& file) {
  try {
    const json metrics = parse_json(read_file(file));
    Evaluation found{.answers = {metrics.at("labels"), metrics.at("confusion"), metrics.at("split")},
                     .errors_of_baselines = {},
                     .doubts = metrics.value("doubts", std::vector<std::string>())};
    for (const json& entry : metrics.value("top_losses", json::array())) {
      found.answers.hardest.push_back(hardest_from(entry));
    }
    for (const json& baseline : metrics.value("baselines", json::array())) {
      const std::string name = baseline.at("name");  // with the smoothing of these texts behind it
      found.errors_of_baselines[name.substr(0, name.find(" ("))] = baseline.at("error");
    }
    return found;
  } catch (const json::exception& e) {
    throw DataError(str("cannot read the evaluation ", file.string(), ": ", e.what(), "; remove it and evaluate again"));
  }
}

// Those that stand in both, with what is right in both.
void join_baselines(JoinedEvaluations& all, const Evaluation& one, std::int64_t texts, bool first) {
  std::map<std::string, std::int64_t> joined;
  for (const auto& [name, error] : one.errors_of_baselines) {
    const std::int64_t right = texts - std::llround(error * static_cast<double>(texts));
    const auto before = all.right_of_baselines.find(name);
    if (first) joined[name] = right;
    if (before != all.right_of_baselines.end()) joined[name] = before->second + right;
  }
  all.right_of_baselines = std::move(joined);
}

}  // namespace

Evaluated classification_result(const reports::Classification& c, double reject_below) {
  const reports::ClassificationMetrics metrics = reports::classification_metrics(c.confusion);
  const reports::ResampledIntervals intervals = reports::resampled_intervals(c.confusion);
  Evaluated result;
  result.metrics = {{"split", c.split},
                    {"texts", metrics.texts},
                    {"error", metrics.error},
                    {"accuracy", metrics.accuracy},
                    {"error_low", 1 - metrics.accuracy_interval.high},
                    {"error_high", 1 - metrics.accuracy_interval.low},
                    {"macro_f1", metrics.macro_f1},
                    {"macro_f1_low", intervals.macro_f1.low},
                    {"macro_f1_high", intervals.macro_f1.high},
                    {"mcc", metrics.mcc},
                    {"mcc_low", intervals.mcc.low},
                    {"mcc_high", intervals.mcc.high},
                    {"labels", c.labels},
                    {"confusion", c.confusion}};
  for (const reports::HardText& t : c.hardest) result.metrics["top_losses"].push_back(hardest_json(t));
  if (!c.calibration.answers.empty()) result.metrics["calibration"] = calibration_json(c.calibration);
  if (reject_below > 0) result.metrics["rejection"] = rejection_json(c.calibration.best(), reject_below);
  result.table =
      table_text(c, metrics, intervals) + calibration_text(c.calibration, reject_below) + hardest_table(c.hardest);
  return result;
}

void write_evaluation(const fs::path& folder, const reports::ReportInfo& info, const json& metrics) {
  make_directories(folder);
  write_file_atomic(folder / kEvaluationFile, metrics.dump(1) + "\n");
  reports::write_html_report(folder, info);
  const bool has_texts = info.classification && !info.classification->hardest.empty();
  if (has_texts) write_hard_texts(folder / kHardTextsFile, info.classification->hardest);
  if (!has_texts) fs::remove(folder / kHardTextsFile);  // of an evaluation before
  log::info("evaluate", str("report: ", (folder / "report.html").string()));
}

void add_baseline(const std::string& name, std::int64_t correct, std::int64_t texts, Evaluated& result, Summary& summary) {
  const reports::Interval right = reports::wilson_interval(correct, texts);
  const double error = static_cast<double>(texts - correct) / static_cast<double>(texts);
  result.metrics["baselines"].push_back(
      {{"name", name}, {"error", error}, {"error_low", 1 - right.high}, {"error_high", 1 - right.low}});
  const std::string text = error_text(error, right);
  result.table += str("  ", name, ": ", text, '\n');
  summary.emplace_back(name, text);
}

void add_doubts(const std::vector<std::string>& doubts, const std::string& component, const std::string& where,
                Evaluated& result, Summary& summary) {
  for (const std::string& doubt : doubts) {
    log::warn(component, where + doubt);
    result.metrics["doubts"].push_back(doubt);
    summary.emplace_back("doubt", doubt);
  }
}

JoinedEvaluations joined_evaluations(const std::vector<fs::path>& folders) {
  JoinedEvaluations joined;
  reports::Classification& all = joined.answers;
  std::size_t shown = 0;
  for (const fs::path& folder : folders) {
    const Evaluation found = read_evaluation(folder / kEvaluationFile);
    const reports::Classification& one = found.answers;
    const bool first = all.labels.empty();
    if (first) {
      all = {one.labels, reports::ConfusionMatrix(one.labels.size(), std::vector<std::int64_t>(one.labels.size())),
             one.split};
      shown = one.hardest.size();
    }
    if (one.labels != all.labels || one.confusion.size() != all.labels.size()) {
      throw DataError(str("the classes of ", folder.string(), " are not those of ", folders.front().string()));
    }
    std::int64_t texts = 0;
    for (std::size_t given = 0; given < one.labels.size(); ++given) {
      for (std::size_t predicted = 0; predicted < one.labels.size(); ++predicted) {
        all.confusion[given][predicted] += one.confusion[given].at(predicted);
        texts += one.confusion[given][predicted];
      }
    }
    join_baselines(joined, found, texts, first);
    for (const std::string& doubt : found.doubts) joined.doubts.push_back(str(folder.string(), ": ", doubt));
    all.hardest.insert(all.hardest.end(), one.hardest.begin(), one.hardest.end());
  }
  std::stable_sort(all.hardest.begin(), all.hardest.end(), [](const auto& a, const auto& b) { return a.loss > b.loss; });
  all.hardest.resize(std::min(all.hardest.size(), shown));
  return joined;
}

}  // namespace ulmfit::stages
