#include "stages/evaluate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/file.h"
#include "base/log.h"
#include "data/corpus_folder.h"
#include "reports/baselines.h"
#include "reports/classification_metrics.h"
#include "reports/html_report.h"
#include "stages/compute.h"
#include "stages/stage_folder.h"
#include "train/classifier_task.h"
#include "train/lm_task.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

std::vector<Stage> read_models(const std::vector<std::string>& paths, at::Device device) {
  std::vector<Stage> models;
  for (const auto& path : paths) {
    models.push_back(read_stage(path, device));
    const Stage& first = models.front();
    const Stage& last = models.back();
    if (last.info.kind != first.info.kind)
      throw CheckpointError(
          str(path, " is a ", name(last.info.kind), ", ", paths.front(), " is a ", name(first.info.kind)));
    if (last.info.classifier && last.info.classifier->labels != first.info.classifier->labels) {
      throw CheckpointError(str(path, " and ", paths.front(), " have different classes and cannot be averaged"));
    }
  }
  return models;
}

json evaluate_language_models(const std::vector<Stage>& models, const data::ShardSet& shards,
                              const EvaluateOptions& options, comm::Communicator& comm) {
  json results = json::array();
  for (const auto& model : models) {
    data::LmStreamOptions streams;
    streams.streams = options.batch_size;
    streams.backward = model.info.backward;
    const train::ShardPlan plan{comm.size(), comm.rank(), 1};
    const train::LmScore score = train::evaluate_lm(*model.encoder, shards, streams, plan, comm);
    const double loss = score.nats / score.targets;
    results.push_back({{"model", model.folder.string()},
                       {"split", options.split},
                       {"tokens", score.targets},
                       {"loss", loss},
                       {"perplexity", std::exp(loss)}});
    log::info("evaluate", str(model.folder.string(), ": perplexity ", std::exp(loss), " (", loss, " nats a token, ",
                              score.targets, " tokens)"));
  }
  return results;
}

std::string table_text(const reports::Classification& c, const reports::ClassificationFigures& figures) {
  std::ostringstream out;
  char row[160];
  std::snprintf(row, sizeof row, "%-24s %9s %9s %9s %8s\n", "class", "precision", "recall", "F1", "texts");
  out << '\n' << row;
  for (std::size_t k = 0; k < c.labels.size(); ++k) {
    const auto& f = figures.classes[k];
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
                100 * figures.error, 100 * figures.accuracy_interval.low, 100 * figures.accuracy_interval.high,
                figures.macro_f1, static_cast<long long>(figures.texts));
  return out.str() + row;
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

Evaluated evaluate_classifiers(std::vector<Stage>& models, const data::ShardSet& shards, const EvaluateOptions& options,
                               const data::CorpusInfo& corpus, comm::Communicator& comm) {
  if (corpus.labels != models.front().info.classifier->labels) {
    throw DataError(str("the classes of ", options.data, " are not those of ", models.front().folder.string()));
  }
  at::Tensor probabilities;
  for (auto& model : models) {
    const data::DocumentBatchOptions batches{options.batch_size, false, model.info.backward, 0, 0};
    const train::ShardPlan plan{comm.size(), comm.rank(), 1};
    const at::Tensor p = train::predict_probabilities(*model.encoder, *model.head, shards, batches,
                                                      model.info.classifier->bpt3c, plan, comm);
    probabilities = probabilities.defined() ? probabilities + p : p;
  }
  probabilities = probabilities / static_cast<double>(models.size());
  const reports::Classification c = train::tabulate(probabilities, shards, corpus.labels, options.split);
  const reports::ClassificationFigures figures = reports::classification_figures(c.confusion);
  Evaluated result;
  result.figures = {{"models", options.models},
                    {"split", options.split},
                    {"texts", figures.texts},
                    {"error", figures.error},
                    {"accuracy", figures.accuracy},
                    {"error_low", 1 - figures.accuracy_interval.high},
                    {"error_high", 1 - figures.accuracy_interval.low},
                    {"macro_f1", figures.macro_f1},
                    {"labels", c.labels},
                    {"confusion", c.confusion}};
  if (comm.rank() != 0) return result;
  result.table = table_text(c, figures);
  if (!options.report.empty()) {
    make_directories(options.report);
    std::string config;
    for (const auto& model : models) config += "model = " + model.folder.string() + "\n";
    reports::write_html_report(
        options.report,
        {"evaluate: " + options.data, "evaluate", {{"data", options.data}, {"split", options.split}}, c, config});
    log::info("evaluate", str("report: ", (fs::path(options.report) / "report.html").string()));
  }
  return result;
}

}  // namespace

void EvaluateOptions::declare(config::OptionSet& set) {
  set.add("model", models, "finished stages; several classifiers are averaged (forward + backward)");
  set.require("model");
  set.add("data", data, "prepared folder: lm for language models, labelled for classifiers");
  set.require("data");
  set.add("split", split, "which split: train, valid or test");
  set.add("train.batch-size", batch_size, "streams or texts at once", {.min = 1, .max = 1 << 20});
  set.add_alias("batch-size", "train.batch-size");
  compute.declare(set);
  set.add("report", report, "also write report.html with confusion matrix and per-class table into this folder");
  set.add("baselines", baselines, "also show the majority class and word-count naive Bayes on the same split");
}

Evaluated evaluate(const EvaluateOptions& options, comm::Communicator& comm) {
  const data::CorpusInfo corpus = data::open_corpus(options.data);
  std::vector<Stage> models = read_models(options.models, comm.device());
  for (const auto& model : models) model.encoder->set_precision(use_precision(options.compute.precision, comm.device()));
  const data::ShardSet shards = data::open_split(options.data, corpus, options.split);
  for (const auto& model : models) {
    if (model.vocabulary->fingerprint() != corpus.vocabulary_fingerprint) {
      throw DataError(str("the vocabulary of ", options.data, " is not that of ", model.folder.string(),
                          "; prepare the data with --vocab ", model.folder.string()));
    }
    check_same_text(model, corpus, options.data);
  }
  if (options.baselines && !corpus.splits.contains("valid")) {
    throw DataError(str("--baselines: ", options.data,
                        " has no validation split, which chooses naive Bayes' smoothing; prepare it with one, or leave "
                        "--baselines out"));
  }
  if (models.front().info.kind == StageKind::kLanguageModel) {
    return {evaluate_language_models(models, shards, options, comm), ""};
  }
  if (corpus.kind != "labelled") {
    throw DataError(str(options.data, " has no labels; a classifier is evaluated on a labelled folder"));
  }
  Evaluated result = evaluate_classifiers(models, shards, options, corpus, comm);
  if (options.baselines) result.figures["baselines"] = baselines(options, corpus, shards);
  return result;
}

}  // namespace ulmfit::stages
