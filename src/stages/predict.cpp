#include <ATen/ATen.h>

#include <algorithm>
#include <istream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>

#include "base/output.h"
#include "base/read_line.h"
#include "data_prep/json_fields.h"
#include "data_prep/table_reader.h"
#include "model/pooling_head.h"
#include "stages/classifier_info.h"
#include "stages/compute.h"
#include "stages/evaluate.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

constexpr Named<bool> kInputFormats[] = {{false, "lines"}, {true, "jsonl"}};  // of PredictOptions::json_lines

constexpr std::size_t kMostBytesAtOnce = 16 << 20;

// A line of the input.
struct Request {
  std::string text;
  std::string object;  // of JSON lines: the object as it came
  std::string error;   // to report in place of an answer; empty: none
};

// The fields of a JSON object that make up a text, for models trained on `columns`.
std::vector<std::string> text_fields(const PredictOptions& options, const std::vector<std::string>& columns) {
  const bool lines = !options.json_lines;
  const auto refuse = [&](const std::string& what) {
    std::string names;
    for (const auto& column : columns) names += (names.empty() ? "" : ", ") + column;
    return ConfigError(str("the model was trained on texts of ", columns.size(), " columns (", names, "), ", what));
  };
  if (columns.size() > 1 && lines) {
    throw refuse("a line is one text: give --input-format=jsonl and objects with a field for each column");
  }
  if (!options.text_fields.empty()) {
    if (options.text_fields.size() == columns.size()) return options.text_fields;
    throw refuse(str("--text-field names ", options.text_fields.size(), " fields: give one a column, in that order"));
  }
  if (columns.size() == 1) return {"text"};
  const auto number = [](const std::string& name) { return name.find_first_not_of("0123456789") == std::string::npos; };
  if (std::any_of(columns.begin(), columns.end(), number)) {
    throw refuse("known by their numbers: name the fields, in that order, by --text-field FIELD FIELD...");
  }
  return columns;
}

Request read_request(const std::string& line, bool is_text, const std::vector<std::string>& fields) {
  Request request;
  if (is_text) {
    request.text = line;
    return request;
  }
  const data_prep::JsonFields object = data_prep::json_fields(line, fields);
  request.error = object.defect;
  if (object.defect.empty()) request.text = data_prep::join_fields(object.values, object.values.size());
  if (object.is_object) {
    const std::size_t begin = line.find('{');
    request.object = line.substr(begin, line.rfind('}') + 1 - begin);
  }
  return request;
}

// The next line of the input; false at its end.
bool next_request(std::istream& in, const PredictOptions& options, const std::vector<std::string>& fields,
                  Request& request) {
  std::string line;
  switch (read_line(in, line, options.max_line_bytes)) {
    case LineRead::kEnd:
      return false;
    case LineRead::kTooLong:
      request = {};
      request.error = str("the line has more than ", options.max_line_bytes, " bytes (--max-line-bytes)");
      return true;
    case LineRead::kLine:
      request = read_request(line, !options.json_lines, fields);
  }
  return true;
}

// Ids of one text for one model, and the share of words that it does not know.
std::vector<std::int64_t> encode(const TrainedModel& model, const std::string& text, double* unknown_share) {
  const auto tokens = model.text->tokenize(text);
  std::vector<std::int64_t> ids;
  std::int64_t unknown = 0;
  for (const auto& token : tokens) {
    ids.push_back(model.vocabulary->id(token));
    unknown += ids.back() == model.vocabulary->unk();
  }
  *unknown_share = ids.empty() ? 0 : static_cast<double>(unknown) / static_cast<double>(ids.size());
  if (ids.empty()) ids.push_back(model.vocabulary->bos());
  if (model.info.backward) std::reverse(ids.begin() + 1, ids.end());
  return ids;
}

struct Classifier {
  TrainedModel model;
  std::vector<model::LstmWeights> weights;
};

at::Tensor probabilities_of(const std::vector<Classifier>& models, const std::vector<Request>& requests,
                            std::vector<double>& unknown) {
  at::Tensor sum;
  for (const auto& [model, weights] : models) {
    std::vector<std::vector<std::int64_t>> ids;
    std::vector<const std::vector<std::int64_t>*> documents;
    for (std::size_t i = 0; i < requests.size(); ++i) ids.push_back(encode(model, requests[i].text, &unknown[i]));
    for (const auto& document : ids) documents.push_back(&document);
    auto& head = head_as<model::PoolingHead>(model);
    const at::Tensor features = head.features(*model.encoder, documents, weights, {}, nullptr);
    const at::Tensor p = at::softmax(head.forward(features, {}, nullptr), 1).cpu();
    sum = sum.defined() ? sum + p : p;
  }
  return sum / static_cast<double>(models.size());
}

// One line. What we say stands beside the object as it came, which is not taken apart: its fields may be called like ours,
// its numbers may have more digits than a double.
std::string answer(const Request& request, const float* p, const std::vector<std::string>& labels, double unknown,
                   std::int64_t top) {
  json ours;
  if (!request.error.empty()) {
    ours["error"] = request.error;
  } else {
    std::vector<std::size_t> order(labels.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return p[a] > p[b]; });
    ours["label"] = labels[order.front()];
    json all = json::object();
    const auto shown = top == 0 ? order.size() : std::min(order.size(), static_cast<std::size_t>(top));
    for (std::size_t i = 0; i < shown; ++i) all[labels[order[i]]] = p[order[i]];
    ours["probabilities"] = all;
    ours["unknown_share"] = unknown;
  }
  std::string line = ours.dump(-1, ' ', false, json::error_handler_t::replace);
  if (!request.object.empty()) line.replace(0, 1, "{\"input\":" + request.object + ",");
  return line;
}

std::vector<Classifier> read_classifiers(const PredictOptions& options, at::Device device) {
  std::vector<Classifier> models;
  for (const auto& path : options.models) {
    TrainedModel model = read_stage(path, device);
    model.encoder->set_precision(use_precision(options.compute.precision, device));
    if (model.info.head_info_as<ClassifierInfo>() == nullptr) {
      throw CheckpointError(str(path, " is a ", model.info.head->kind().what, "; predict needs a classifier"));
    }
    const auto& info = *model.info.head_info_as<ClassifierInfo>();
    const auto& first = models.empty() ? info : *models.front().model.info.head_info_as<ClassifierInfo>();
    require_same_classes(info, path, first, options.models.front());
    if (info.text_columns != first.text_columns && info.text_columns.size() + first.text_columns.size() > 2) {
      throw CheckpointError(str(path, " and ", options.models.front(),
                                " were trained on other columns, or in another order, and cannot be averaged"));
    }
    auto weights = model.encoder->batch_weights(0, nullptr);
    models.push_back({std::move(model), std::move(weights)});
  }
  return models;
}

}  // namespace

void PredictOptions::declare(config::OptionSet& set) {
  set.add("model", models, "finished classifiers; several are averaged (forward + backward)");
  set.require("model");
  set.add("input-format", json_lines, kInputFormats,
          "one text a line, or one JSON object a line, which the answer repeats as `input`");
  declare_max_line_bytes(set, max_line_bytes);
  set.add(
      "text-field", text_fields,
      "the field of a JSON object that holds the text; of a model trained on several columns, the fields in their order "
      "(default: text, or the names of the columns)");
  set.add("top", top, "probabilities of that many classes; 0: all", {.min = 0});
  set.add("batch-size", batch_size, "texts at once when more than one is waiting", {.min = 1, .max = 65536});
  compute.declare(set);
}

void predict(const PredictOptions& options, at::Device device, std::istream& in, std::ostream& out) {
  at::NoGradGuard no_grad;
  const std::vector<Classifier> models = read_classifiers(options, device);
  const auto& first = *models.front().model.info.head_info_as<ClassifierInfo>();
  const std::vector<std::string> fields = text_fields(options, first.text_columns);
  for (Request request; next_request(in, options, fields, request);) {
    // Lines that have already arrived go together; a reader at a pipe's end gets its answer at once.
    std::vector<Request> requests;
    for (std::size_t bytes = 0;;) {
      bytes += request.text.size() + request.object.size();
      requests.push_back(std::move(request));
      const bool more = static_cast<std::int64_t>(requests.size()) < options.batch_size && bytes < kMostBytesAtOnce &&
                        in.rdbuf()->in_avail() > 0;
      if (!more || !next_request(in, options, fields, request)) break;
    }
    std::vector<double> unknown(requests.size());
    const at::Tensor p = probabilities_of(models, requests, unknown);
    const auto* row = p.const_data_ptr<float>();
    for (std::size_t i = 0; i < requests.size(); ++i, row += first.labels.size()) {
      out << answer(requests[i], row, first.labels, unknown[i], options.top) << '\n';
    }
    flush_output(out);
  }
}

}  // namespace ulmfit::stages
