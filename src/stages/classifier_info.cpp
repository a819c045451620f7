#include "stages/classifier_info.h"

#include <algorithm>
#include <set>

#include "stages/stage_info.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

constexpr std::int64_t kMostTokens = std::int64_t{1} << 40;

std::vector<std::string> read_labels(const StageFields& fields, const json& classifier) {
  auto labels = classifier.at("labels").get<std::vector<std::string>>();
  fields.require(labels.size() >= 2, "it has ", labels.size(), " labels, two are needed");
  fields.require(std::set<std::string>(labels.begin(), labels.end()).size() == labels.size(),
                 "two of its labels are alike");
  fields.require(std::none_of(labels.begin(), labels.end(), [](const std::string& label) { return label.empty(); }),
                 "one of its labels is empty");
  return labels;
}

std::vector<std::int64_t> read_widths(const StageFields& fields, const json& classifier, std::int64_t input,
                                      std::size_t classes) {
  std::vector<std::int64_t> widths;
  for (const json& width : classifier.at("head_widths")) {
    widths.push_back(fields.whole(json{{"width of the head", width}}, "width of the head", 1, 3 * kMostWidth));
  }
  fields.require(widths.size() >= 2 && widths.front() == input && widths.back() == static_cast<std::int64_t>(classes),
                 "the head's widths ", classifier.at("head_widths").dump(), " do not lead from ", input, " features to ",
                 classes, " labels");
  return widths;
}

// What was asked of the preparation of the training texts, where the stage's lineage tells; else null.
json asked_of_preparation(const StageFields& fields, const std::string& key) {
  const json& lineage = fields.root().at("lineage");
  const json::json_pointer place("/facts/data/request/" + key);
  return !lineage.empty() && lineage.back().contains(place) ? lineage.back().at(place) : json();
}

// Stages of older programs have them only among the facts of the data that they were trained on.
std::vector<std::string> read_text_columns(const StageFields& fields, const json& classifier) {
  using Columns = std::vector<std::string>;
  if (classifier.contains("text_columns")) return classifier.at("text_columns").get<Columns>();
  const json asked = asked_of_preparation(fields, "text_columns");
  return asked.is_null() ? Columns{"text"} : asked.get<Columns>();
}

char read_table_delimiter(const StageFields& fields) {
  const json asked = asked_of_preparation(fields, "delimiter");
  const std::string delimiter = asked.is_string() ? asked.get<std::string>() : "";
  return delimiter.size() == 1 ? delimiter[0] : ',';
}

// Stages of one label a text have neither.
void read_thresholds(const StageFields& fields, const json& classifier, ClassifierInfo& info) {
  if (!classifier.contains("thresholds")) return;
  info.thresholds = classifier.at("thresholds").get<std::vector<double>>();
  info.label_delimiter = classifier.at("label_delimiter").get<std::string>();
  fields.require(info.thresholds.size() == info.labels.size(), "it has ", info.thresholds.size(), " thresholds for ",
                 info.labels.size(), " labels");
  for (const double threshold : info.thresholds) {
    fields.require(threshold > 0 && threshold < 1, "a threshold is ", threshold, ", expected a number between 0 and 1");
  }
  fields.require(info.label_delimiter.size() == 1, "label_delimiter is '", info.label_delimiter,
                 "', expected one character");
}

}  // namespace

void ClassifierInfo::write(json& stage) const {
  stage["classifier"] = {{"labels", labels},
                         {"head_widths", head.widths},
                         {"head_bias", head.bias},
                         {"window", head.bpt3c.window},
                         {"length", head.bpt3c.length},
                         {"detach", head.bpt3c.detach},
                         {"pool_all", head.bpt3c.pool_all},
                         {"text_columns", text_columns}};
  if (!multilabel()) return;
  stage["version"] = kNewestStageVersion;
  stage["classifier"]["thresholds"] = thresholds;
  stage["classifier"]["label_delimiter"] = label_delimiter;
}

std::int64_t ClassifierInfo::weights() const {
  std::int64_t count = 0;
  for (std::size_t i = 1; i < head.widths.size(); ++i) count += head.widths[i - 1] * head.widths[i];
  return count;
}

std::unique_ptr<model::Head> ClassifierInfo::make(const model::AwdLstm& encoder) const {
  return std::make_unique<model::PoolingHead>(head, 0, encoder.device());
}

void ClassifierInfo::complete(reports::CardInfo& card) const {
  card.title = multilabel() ? "AWD-LSTM text classifier, several labels a text" : "AWD-LSTM text classifier";
  card.labels = labels;
  card.also_not_measured = "calibration of the probabilities";
}

void require_same_classes(const ClassifierInfo& a, const std::string& path_a, const ClassifierInfo& b,
                          const std::string& path_b) {
  if (a.labels != b.labels) {
    throw CheckpointError(str(path_a, " and ", path_b, " have different classes and cannot be averaged"));
  }
  if (a.multilabel() == b.multilabel()) return;
  throw CheckpointError(str(a.multilabel() ? path_a : path_b, " gives several labels a text, and ",
                            a.multilabel() ? path_b : path_a, " one: they cannot be averaged"));
}

std::vector<double> mean_thresholds(const std::vector<const ClassifierInfo*>& classifiers) {
  std::vector<double> mean(classifiers.front()->thresholds.size(), 0);
  for (std::size_t c = 0; c < mean.size(); ++c) {
    for (const ClassifierInfo* classifier : classifiers) mean[c] += classifier->thresholds[c];
    mean[c] /= static_cast<double>(classifiers.size());
  }
  return mean;
}

std::shared_ptr<const HeadInfo> read_classifier_info(const StageFields& fields, const model::Shape& shape) {
  const json& c = fields.root().at("classifier");
  auto info = std::make_shared<ClassifierInfo>();
  info->labels = read_labels(fields, c);
  info->head.widths = read_widths(fields, c, 3 * shape.embedding, info->labels.size());
  info->head.bias = c.value("head_bias", false);  // older programs knew no other
  info->head.bpt3c = {fields.whole(c, "window", 1, kMostTokens), fields.whole(c, "length", 1, kMostTokens),
                      c.at("detach").get<bool>(), c.at("pool_all").get<bool>()};
  info->text_columns = read_text_columns(fields, c);
  info->table_delimiter = read_table_delimiter(fields);
  fields.require(!info->text_columns.empty(), "it has no text column");
  read_thresholds(fields, c, *info);
  return info;
}

}  // namespace ulmfit::stages
