// Error rate, confusion matrix and baselines of classifiers.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "reports/baselines.h"
#include "reports/classification_metrics.h"
#include "reports/html_report.h"
#include "stages/classifier_info.h"
#include "stages/evaluate_kinds.h"
#include "text/readable.h"
#include "train/classifier_task.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

std::string table_text(const reports::Classification& c, const reports::ClassificationMetrics& metrics) {
  std::ostringstream out;
  char row[160];
  std::snprintf(row, sizeof row, "%-24s %9s %9s %9s %8s\n", "class", "precision", "recall", "F1", "texts");
  out << '\n' << row;
  for (std::size_t k = 0; k < c.labels.size(); ++k) {
    const auto& f = metrics.classes[k];
    std::snprintf(row, sizeof row, "%-24s %9.3f %9.3f %9.3f %8lld\n", c.labels[k].c_str(), f.precision, f.recall, f.f1,
                  static_cast<long long>(f.support));
    out << row;
  }
  out << "\nconfusion (row: given, column: predicted)\n";
  for (std::size_t r = 0; r < c.labels.size(); ++r) {
    std::snprintf(row, sizeof row, "%-24s", c.labels[r].c_str());
    out << row;
    for (const auto n : c.confusion[r]) {
      std::snprintf(row, sizeof row, " %6lld", static_cast<long long>(n));
      out << row;
    }
    out << '\n';
  }
  std::snprintf(row, sizeof row,
                "\nerror %.2f %% (95 %% interval of accuracy %.2f to %.2f %%), macro-F1 %.3f, %lld texts\n",
                100 * metrics.error, 100 * metrics.accuracy_interval.low, 100 * metrics.accuracy_interval.high,
                metrics.macro_f1, static_cast<long long>(metrics.texts));
  return out.str() + row;
}

// A text as people read it, cut to its beginning.
std::string readable(const data::ShardSet& shards, std::int64_t document, const TrainedModel& model) {
  constexpr std::int64_t kMostTokens = 200;
  const std::int64_t start = shards.document_start(document);
  const std::int64_t length = shards.document_start(document + 1) - start;
  std::vector<std::int32_t> ids(static_cast<std::size_t>(std::min(length, kMostTokens)));
  shards.read(start, ids);
  std::vector<std::string> tokens;
  for (const std::int32_t id : ids) tokens.push_back(model.vocabulary->token(id));
  if (model.text->options().tokenizer == text::TokenizerKind::kSentencePiece) tokens = text::joined_pieces(tokens);
  return text::readable_text(tokens) + (length > kMostTokens ? " ..." : "");
}

// The `count` documents with the highest loss, that one first. `probabilities`: [documents, classes].
std::vector<reports::HardText> hardest_texts(const at::Tensor& probabilities, const data::ShardSet& shards,
                                             const std::vector<std::string>& labels, std::int64_t count,
                                             const TrainedModel& model) {
  constexpr double kSmallest = 1e-38;  // of float32: a probability of 0 has no loss
  std::vector<std::int64_t> given;
  for (std::int64_t d = 0; d < shards.document_count(); ++d) given.push_back(shards.label(d));
  const at::Tensor p = probabilities.to(at::kCPU, at::kDouble);
  const at::Tensor losses = -p.gather(1, at::tensor(given, at::kLong).unsqueeze(1)).squeeze(1).clamp_min(kSmallest).log();
  const auto [probability, predicted] = p.max(1);
  const at::Tensor order = losses.argsort(/*stable=*/true, 0, /*descending=*/true);
  std::vector<reports::HardText> texts;
  for (std::int64_t i = 0; i < std::min(count, shards.document_count()); ++i) {
    const std::int64_t d = order[i].item<std::int64_t>();
    const auto label = [&](std::int64_t number) { return labels[static_cast<std::size_t>(number)]; };
    texts.push_back({d, label(given[static_cast<std::size_t>(d)]), label(predicted[d].item<std::int64_t>()),
                     losses[d].item<double>(), probability[d].item<double>(), readable(shards, d, model)});
  }
  return texts;
}

std::string hardest_table(const std::vector<reports::HardText>& texts) {
  constexpr std::size_t kWidth = 90;
  if (texts.empty()) return "";
  std::string table = "\nhighest loss: given label, predicted label and its probability, text\n";
  for (const reports::HardText& t : texts) {
    char numbers[40];
    std::snprintf(numbers, sizeof numbers, "%7.2f  ", t.loss);
    std::string beginning = t.text.substr(0, kWidth);
    while (!beginning.empty() && beginning.size() < t.text.size() && (t.text[beginning.size()] & 0xC0) == 0x80) {
      beginning.pop_back();  // not within a character
    }
    table += str(numbers, t.given, "  ", t.predicted, " ", std::llround(100 * t.probability), " %  ", beginning, "\n");
  }
  return table;
}

json baselines(const EvaluateOptions& options, const data::CorpusInfo& corpus, const data::ShardSet& test) {
  const data::ShardSet train = data::open_split(options.data, corpus, "train");
  const data::ShardSet valid = data::open_split(options.data, corpus, "valid");
  json results = json::array();
  for (const auto& b : {reports::majority_baseline(train, test), reports::naive_bayes_baseline(train, valid, test)}) {
    const reports::Interval interval = reports::wilson_interval(b.correct, b.total);
    results.push_back(
        {{"name", b.name}, {"error", b.error}, {"error_low", 1 - interval.high}, {"error_high", 1 - interval.low}});
    log::info("evaluate", str("baseline ", b.name, ": error ", 100 * b.error, " %"));
  }
  return results;
}

}  // namespace

Evaluated evaluate_classifiers(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                               const EvaluateOptions& options, const data::CorpusInfo& corpus, comm::Communicator& comm) {
  if (corpus.kind != "labelled") {
    throw DataError(str(options.data, " has no labels; a classifier is evaluated on a labelled folder"));
  }
  const auto& first = *models.front().info.head_info_as<ClassifierInfo>();
  for (std::size_t i = 1; i < models.size(); ++i) {
    require_same_classes(*models[i].info.head_info_as<ClassifierInfo>(), options.models[i], first, options.models[0]);
  }
  if (corpus.labels != first.labels) {
    throw DataError(str("the classes of ", options.data, " are not those of ", models.front().folder.string()));
  }
  at::Tensor probabilities;
  for (auto& model : models) {
    const data::DocumentBatchOptions batches{options.batch_size, false, model.info.backward, 0};
    const train::MicroBatches micro_batches{comm.size(), comm.rank(), 1};
    const at::Tensor p = train::predict_probabilities(*model.encoder, head_as<model::PoolingHead>(model), shards, batches,
                                                      micro_batches, comm);
    probabilities = probabilities.defined() ? probabilities + p : p;
  }
  probabilities = probabilities / static_cast<double>(models.size());
  reports::Classification c = train::tabulate(probabilities, shards, corpus.labels, options.split);
  if (comm.rank() == 0) {
    c.hardest = hardest_texts(probabilities, shards, corpus.labels, options.top_losses, models.front());
  }
  const reports::ClassificationMetrics metrics = reports::classification_metrics(c.confusion);
  Evaluated result;
  result.metrics = {{"models", options.models},
                    {"split", options.split},
                    {"texts", metrics.texts},
                    {"error", metrics.error},
                    {"accuracy", metrics.accuracy},
                    {"error_low", 1 - metrics.accuracy_interval.high},
                    {"error_high", 1 - metrics.accuracy_interval.low},
                    {"macro_f1", metrics.macro_f1},
                    {"labels", c.labels},
                    {"confusion", c.confusion}};
  if (comm.rank() != 0) return result;
  result.table = table_text(c, metrics) + hardest_table(c.hardest);
  for (const reports::HardText& t : c.hardest) {
    result.metrics["top_losses"].push_back({{"document", t.document},
                                            {"given", t.given},
                                            {"predicted", t.predicted},
                                            {"loss", t.loss},
                                            {"probability", t.probability},
                                            {"text", t.text}});
  }
  if (!options.report.empty()) {
    make_directories(options.report);
    std::string config;
    for (const auto& model : models) config += "model = " + model.folder.string() + "\n";
    reports::write_html_report(options.report, {"evaluate: " + options.data,
                                                "evaluate",
                                                {{"data", options.data}, {"split", options.split}},
                                                reports::kClassifierMetrics,
                                                c,
                                                config});
    log::info("evaluate", str("report: ", (fs::path(options.report) / "report.html").string()));
  }
  if (options.baselines) result.metrics["baselines"] = baselines(options, corpus, shards);
  return result;
}

}  // namespace ulmfit::stages
