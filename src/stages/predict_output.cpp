#include "stages/predict_output.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "data_prep/csv_writer.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

constexpr double kSecondsBetweenSaves = 2;

// The labels' numbers, the most probable first.
std::vector<std::size_t> by_probability(const float* p, std::size_t labels) {
  std::vector<std::size_t> order(labels);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return p[a] > p[b]; });
  return order;
}

class JsonAnswers : public AnswerFormat {
 public:
  JsonAnswers(LabelRule rule, std::int64_t top) : rule_(std::move(rule)), top_(top) {}

  // What we say stands beside the object as it came, which is not taken apart: its fields may be called like ours, its
  // numbers may have more digits than a double.
  std::string line(const Request& request, const Answer& answer) const override {
    json ours;
    if (!request.error.empty()) {
      ours["error"] = request.error;
    } else {
      const std::vector<std::string>& labels = rule_.labels;
      const auto order = by_probability(answer.probabilities, labels.size());
      if (rule_.several()) {
        ours["labels"] = json::array();
        for (const std::size_t k : rule_.chosen(answer.probabilities)) ours["labels"].push_back(labels[k]);
      } else {
        ours["label"] = labels[order.front()];
      }
      json all = json::object();
      const auto shown = top_ == 0 ? order.size() : std::min(order.size(), static_cast<std::size_t>(top_));
      for (std::size_t i = 0; i < shown; ++i) all[labels[order[i]]] = answer.probabilities[order[i]];
      ours["probabilities"] = all;
      ours["unknown_share"] = answer.unknown_share;
      for (std::size_t i = 0; i < (answer.words.empty() ? 0 : shown); ++i) {
        ours["words"][labels[order[i]]] = answer.words[order[i]];
      }
    }
    std::string line = ours.dump(-1, ' ', false, json::error_handler_t::replace);
    if (!request.object.empty()) line.replace(0, 1, "{\"input\":" + request.object + ",");
    return line + '\n';
  }

 private:
  LabelRule rule_;
  std::int64_t top_;
};

template <class Number>
std::string shortest(Number value) {
  char buffer[64];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

// The table with columns behind its own: predicted, probability (of the one label), unknown_share, p:LABEL for each, words
// (of the labels predicted, each once), error.
class TableAnswers : public AnswerFormat {
 public:
  TableAnswers(char delimiter, LabelRule rule, std::vector<std::string> columns, bool classes, bool words)
      : delimiter_(delimiter), rule_(std::move(rule)), columns_(std::move(columns)), classes_(classes), words_(words) {
    std::vector<std::string> ours = names_of_ours();
    ours.emplace_back("error");
    for (const std::string& name : ours) {
      if (std::find(columns_.begin(), columns_.end(), name) == columns_.end()) continue;
      throw ConfigError(str("the table has a column '", name,
                            "' as the answers have: are these answers already? Give the texts' own table, or rename it"));
    }
  }

  std::string header() const override {
    std::vector<std::string> names = columns_;
    for (const std::string& name : names_of_ours()) names.push_back(name);
    names.emplace_back("error");
    return data_prep::csv_record(names, delimiter_);
  }

  std::string line(const Request& request, const Answer& answer) const override {
    std::vector<std::string> fields = request.fields;
    if (request.error.empty()) {
      const std::vector<std::size_t> chosen = rule_.chosen(answer.probabilities);
      fields.push_back(joined_labels(chosen));
      if (!rule_.several()) fields.push_back(shortest(answer.probabilities[chosen.front()]));
      fields.push_back(shortest(answer.unknown_share));
      for (std::size_t k = 0; classes_ && k < rule_.labels.size(); ++k) fields.push_back(shortest(answer.probabilities[k]));
      if (words_) fields.push_back(words_for(chosen, answer));
    } else {
      fields.resize(fields.size() + names_of_ours().size());
    }
    fields.push_back(request.error);
    return data_prep::csv_record(fields, delimiter_);
  }

 private:
  std::vector<std::string> names_of_ours() const {
    std::vector<std::string> names = {"predicted"};
    if (!rule_.several()) names.emplace_back("probability");
    names.emplace_back("unknown_share");
    if (classes_) {
      for (const std::string& label : rule_.labels) names.push_back("p:" + label);
    }
    if (words_) names.emplace_back("words");
    return names;
  }

  std::string joined_labels(const std::vector<std::size_t>& chosen) const {
    std::string text;
    for (const std::size_t k : chosen) text += (text.empty() ? "" : rule_.delimiter) + rule_.labels[k];
    return text;
  }

  static std::string words_for(const std::vector<std::size_t>& chosen, const Answer& answer) {
    std::string text;
    std::set<std::string> written;
    for (const std::size_t k : chosen) {
      for (const auto& entry : answer.words.at(k)) {
        if (written.insert(entry.first).second) text += (text.empty() ? "" : " ") + entry.first;
      }
    }
    return text;
  }

  char delimiter_;
  LabelRule rule_;
  std::vector<std::string> columns_;
  bool classes_;
  bool words_;
};

fs::path beside(const fs::path& file, const char* ending) { return file.string() + ending; }

struct Progress {
  std::int64_t answers = 0;
  std::size_t bytes = 0;
};

// How far a call that asked the same has come; none: there was none.
std::optional<Progress> progress_of(const fs::path& file, const json& asked) {
  std::error_code error;
  const fs::path partial = beside(file, ".partial");
  const auto bytes = fs::file_size(partial, error);
  if (error || !fs::exists(beside(file, ".progress"))) return std::nullopt;
  try {
    const json saved = parse_json(read_file(beside(file, ".progress")));
    if (saved.at("asked") != asked) {
      log::info("predict", str(partial.string(), " holds answers of another call; it is written anew"));
      return std::nullopt;
    }
    const Progress progress{saved.at("answers"), saved.at("bytes")};
    if (progress.bytes <= bytes) return progress;
  } catch (const json::exception&) {
    // Cut off: as if it were not there.
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::size_t> LabelRule::chosen(const float* probabilities) const {
  std::vector<std::size_t> order = by_probability(probabilities, labels.size());
  if (!several()) return {order.front()};
  std::erase_if(order, [&](std::size_t k) { return static_cast<double>(probabilities[k]) < thresholds[k]; });
  return order;
}

std::unique_ptr<AnswerFormat> answer_format(const PredictOptions& options, LabelRule rule,
                                            std::vector<std::string> columns) {
  const RequestFormat format = request_format(options.requests);
  if (format == RequestFormat::kLines || format == RequestFormat::kJsonl) {
    return std::make_unique<JsonAnswers>(std::move(rule), options.top);
  }
  if (options.top > 1) {
    throw ConfigError(str("--top=", options.top, ": a table has a column for each class, or none with --top=1"));
  }
  const char delimiter = format == RequestFormat::kTsv ? '\t' : options.requests.table.resolved().delimiter;
  return std::make_unique<TableAnswers>(delimiter, std::move(rule), std::move(columns), options.top != 1,
                                        options.explain > 0);
}

AnswerFile::AnswerFile(fs::path file, json asked) : file_(std::move(file)), asked_(std::move(asked)) {
  if (fs::exists(file_)) {
    throw ConfigError(str("--output=", file_.string(), " is there; remove it, or give another name"));
  }
  const fs::path partial = beside(file_, ".partial");
  const fs::path folder = file_.has_parent_path() ? file_.parent_path() : ".";
  if (!fs::is_directory(folder))
    throw FileError(str("cannot write ", file_.string(), ": there is no folder ", folder.string()));
  lock_ = std::make_unique<FileLock>(beside(file_, ".lock"));
  const Progress before = progress_of(file_, asked_).value_or(Progress{});
  answered_ = before.answers;
  bytes_ = before.bytes;
  if (answered_ > 0) {
    truncate_file(partial, bytes_);
    log::info("predict", str("going on behind ", answered_, " answers in ", partial.string()));
  }
  // What it says of other answers must not outlive them.
  if (answered_ == 0 && fs::remove(beside(file_, ".progress"))) sync_directory(fs::absolute(file_).parent_path());
  partial_ = std::make_unique<OutputFile>(partial, answered_ > 0 ? OutputFile::Mode::kAppend : OutputFile::Mode::kTruncate);
}

void AnswerFile::write(std::string_view text, std::int64_t answers) {
  partial_->write(text);
  bytes_ += text.size();
  answered_ += answers;
  if (since_saved_.seconds() < kSecondsBetweenSaves) return;
  save_progress();
  since_saved_.lap();
}

void AnswerFile::save_progress() {
  partial_->sync();
  write_file_atomic(beside(file_, ".progress"),
                    json({{"answers", answered_}, {"bytes", bytes_}, {"asked", asked_}}).dump() + "\n");
}

void AnswerFile::finish() {
  partial_->sync();
  partial_->close();
  rename_synced(beside(file_, ".partial"), file_);
  fs::remove(beside(file_, ".progress"));
  fs::remove(beside(file_, ".lock"));
  log::info("predict", str(answered_, " answers in ", file_.string()));
}

}  // namespace ulmfit::stages
