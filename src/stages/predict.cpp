#include "stages/predict.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <istream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <utility>

#include "base/hash.h"
#include "base/output.h"
#include "model/pooling_head.h"
#include "stages/classifier_info.h"
#include "stages/compute.h"
#include "stages/encode.h"
#include "stages/explain.h"
#include "stages/predict_output.h"
#include "stages/requests.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {
namespace {

constexpr double kSmallestProbability = 1e-38;  // of float32
constexpr std::size_t kMostBytesAtOnce = 16 << 20;

struct Classifier {
  TrainedModel model;
  std::vector<model::LstmWeights> weights;
};

at::Tensor probabilities_of(const std::vector<Classifier>& models, const std::vector<Request>& requests, double temperature,
                            std::vector<double>& unknown) {
  at::Tensor sum;
  for (const auto& [model, weights] : models) {
    std::vector<std::vector<std::int64_t>> ids;
    std::vector<const std::vector<std::int64_t>*> documents;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EncodedText encoded = encode(model, requests[i].text);
      unknown[i] = encoded.unknown_share;
      ids.push_back(std::move(encoded.ids));
    }
    for (const auto& document : ids) documents.push_back(&document);
    auto& head = head_as<model::PoolingHead>(model);
    const at::Tensor features = head.features(*model.encoder, documents, weights, {}, nullptr);
    const at::Tensor logits = head.forward(features, {}, nullptr);
    const bool several = model.info.head_info_as<ClassifierInfo>()->multilabel();
    const at::Tensor p = (several ? at::sigmoid(logits) : at::softmax(logits, 1)).cpu();
    sum = sum.defined() ? sum + p : p;
  }
  const at::Tensor mean = sum / static_cast<double>(models.size());
  return temperature == 1 ? mean : at::softmax(mean.clamp_min(kSmallestProbability).log() / temperature, 1);
}

// By label, the words that speak for it.
std::vector<WordShares> explained(const std::vector<Classifier>& models, const Request& request, std::int64_t count) {
  Explanation explanation;
  for (const auto& [model, weights] : models) explanation.add(model, weights, encode(model, request.text).ids);
  std::vector<WordShares> words;
  for (std::size_t label = 0; label < models.front().model.info.head_info_as<ClassifierInfo>()->labels.size(); ++label) {
    words.push_back(explanation.words_for(label, static_cast<std::size_t>(count)));
  }
  return words;
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

LabelRule rule_of(const std::vector<Classifier>& models, const PredictOptions& options) {
  std::vector<const ClassifierInfo*> infos;
  for (const auto& [model, weights] : models) infos.push_back(model.info.head_info_as<ClassifierInfo>());
  if (infos.front()->multilabel() && options.temperature != 1) {
    throw ConfigError(
        str("--temperature is for classifiers of one label a text, and ", options.models.front(), " gives several"));
  }
  return {infos.front()->labels, mean_thresholds(infos), infos.front()->label_delimiter};
}

// What the answers depend on: a file of answers is gone on with where it is the same.
nlohmann::json asked(const PredictOptions& options, const std::vector<Classifier>& models, at::Device device) {
  nlohmann::json asked = {{"format", name_in(kRequestFormats, request_format(options.requests))},
                          {"text_columns", options.requests.text_columns},
                          {"top", options.top},
                          {"temperature", options.temperature},
                          {"explain", options.explain},
                          {"delimiter", std::string(1, options.requests.table.resolved().delimiter)},
                          {"max_line_bytes", options.requests.table.resolved().max_line_bytes},
                          {"precision", name_in(kArithmetics, arithmetic_on(device, options.compute.precision))}};
  if (options.requests.table.resolved().header) asked["header"] = *options.requests.table.resolved().header;
  if (!options.requests.input.empty()) asked["input"] = file_fingerprint(options.requests.input);
  for (const auto& [model, weights] : models) {
    asked["models"].push_back(model.model_fingerprint);
    const auto& info = *model.info.head_info_as<ClassifierInfo>();
    if (info.multilabel()) asked["rules"].push_back({info.thresholds, info.label_delimiter});
  }
  return asked;
}

// Where the answers go.
class Sink {
 public:
  Sink(const PredictOptions& options, const std::vector<Classifier>& models, at::Device device, std::ostream& out)
      : out_(out) {
    if (options.output.empty()) return;
    file_.emplace(options.output, asked(options, models, device));
  }
  std::int64_t answered() const { return file_ ? file_->answered() : 0; }
  void add(const std::string& text) {
    if (file_) {
      batch_ += text;
    } else {
      write_output(out_, text);
    }
  }
  void flush(std::size_t answers) {
    if (file_) {
      file_->write(std::exchange(batch_, ""), static_cast<std::int64_t>(answers));
    } else {
      flush_output(out_);
    }
  }
  void finish() {
    flush(0);
    if (file_) file_->finish();
  }

 private:
  std::ostream& out_;
  std::optional<AnswerFile> file_;
  std::string batch_;  // for the file
};

// Texts that have already arrived go together; a reader at a pipe's end gets its answer at once. Empty at the end.
std::vector<Request> next_requests(RequestReader& reader, std::int64_t most) {
  std::vector<Request> requests;
  std::size_t bytes = 0;
  for (Request request; static_cast<std::int64_t>(requests.size()) < most && bytes < kMostBytesAtOnce;) {
    if ((!requests.empty() && reader.may_wait()) || !reader.next(request)) break;
    bytes += request.bytes();
    if (request.empty && request.error.empty()) request.error = "the text is empty";
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace

void PredictOptions::declare(config::OptionSet& set) {
  set.add("model", models, "finished classifiers; several are averaged (forward + backward)");
  set.require("model");
  requests.declare(set);
  set.add("output", output,
          "file for the answers: a line of JSON each, which repeats an object that it answers; of a table, the table with "
          "columns for them; the same command goes on with one that was not finished; without it standard output");
  set.add("top", top, "probabilities of that many classes; 0: all", {.min = 0});
  set.add("explain", explain,
          "also show so many words for each class: those that won the max-pool and add most to it; slower", {.min = 0});
  set.add("temperature", temperature,
          "that evaluate --calibration has found: makes probabilities more honest, changes no label",
          {.min = 0.01, .max = 100});
  set.add("batch-size", batch_size, "texts at once when more than one is waiting", {.min = 1, .max = 65536});
  compute.declare(set);
  set.add_common({"input", "format", "text-column", "delimiter", "output", "top", "explain", "temperature", "device",
                  "train.threads"});
}

void predict(const PredictOptions& asked_for, at::Device device, std::istream& in, std::ostream& out) {
  at::NoGradGuard no_grad;
  PredictOptions options = asked_for;
  if (!options.output.empty() && options.requests.input.empty()) {
    throw ConfigError("--output needs --input=FILE: what came through a pipe does not come again");
  }
  const std::vector<Classifier> models = read_classifiers(options, device);
  const auto& first = *models.front().model.info.head_info_as<ClassifierInfo>();
  options.requests.table.choose_delimiter(first.table_delimiter);
  const std::unique_ptr<RequestReader> reader = open_requests(options.requests, first.text_columns, in);
  const std::unique_ptr<AnswerFormat> format = answer_format(options, rule_of(models, options), reader->columns());
  Sink sink(options, models, device, out);
  Request passed_over;
  for (std::int64_t i = 0; i < sink.answered(); ++i) reader->next(passed_over);
  if (sink.answered() == 0) sink.add(format->header());
  for (std::vector<Request> requests; !(requests = next_requests(*reader, options.batch_size)).empty();) {
    std::vector<double> unknown(requests.size());
    const at::Tensor p = probabilities_of(models, requests, options.temperature, unknown);
    const auto* row = p.const_data_ptr<float>();
    for (std::size_t i = 0; i < requests.size(); ++i, row += first.labels.size()) {
      std::vector<WordShares> words;
      if (options.explain > 0 && requests[i].error.empty()) words = explained(models, requests[i], options.explain);
      sink.add(format->line(requests[i], {row, unknown[i], std::move(words)}));
    }
    sink.flush(requests.size());
  }
  sink.finish();
}

}  // namespace ulmfit::stages
