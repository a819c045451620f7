// Error rate, confusion matrix and baselines of classifiers.
#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "reports/baselines.h"
#include "reports/calibration.h"
#include "reports/classification_metrics.h"
#include "reports/html_report.h"
#include "stages/classification_result.h"
#include "stages/classifier_info.h"
#include "stages/evaluate_kinds.h"
#include "stages/hard_texts.h"
#include "train/classifier_task.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

// Mean of the models' probabilities, [documents, classes]. Collective.
at::Tensor mean_probabilities(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                              const EvaluateOptions& options, comm::Communicator& comm) {
  at::Tensor sum;
  for (const auto& model : models) {
    const data::DocumentBatchOptions batches{options.batch_size, false, model.info.backward, 0};
    const train::MicroBatches micro_batches{comm.size(), comm.rank(), 1};
    const at::Tensor p = train::predict_probabilities(*model.encoder, head_as<model::PoolingHead>(model), shards, batches,
                                                      micro_batches, comm);
    sum = sum.defined() ? sum + p : p;
  }
  return sum / static_cast<double>(models.size());
}

std::vector<std::int32_t> labels_of(const data::ShardSet& shards) {
  std::vector<std::int32_t> labels;
  for (std::int64_t d = 0; d < shards.document_count(); ++d) labels.push_back(shards.label(d));
  return labels;
}

std::span<const float> values_of(const at::Tensor& contiguous) {
  return {contiguous.const_data_ptr<float>(), static_cast<std::size_t>(contiguous.numel())};
}

std::vector<reports::Confidence> confidences(const at::Tensor& probabilities, const data::ShardSet& shards,
                                             double temperature) {
  const at::Tensor p = probabilities.to(at::kCPU, at::kFloat).contiguous();
  return reports::confidences(values_of(p), static_cast<std::size_t>(p.size(1)), labels_of(shards), temperature);
}

// Fitted on the validation texts. Collective.
double temperature_of(const std::vector<TrainedModel>& models, const EvaluateOptions& options,
                      const data::CorpusInfo& corpus, comm::Communicator& comm) {
  constexpr std::int64_t kFewest = 100;
  const data::ShardSet valid = data::open_split(options.data, corpus, "valid");
  if (comm.rank() == 0 && valid.document_count() < kFewest) {
    log::warn("evaluate", str("the temperature is fitted on ", valid.document_count(),
                              " validation texts: with fewer than ", kFewest, " it says little"));
  }
  const at::Tensor p = mean_probabilities(models, valid, options, comm).to(at::kCPU, at::kFloat).contiguous();
  const double temperature = reports::fit_temperature(values_of(p), static_cast<std::size_t>(p.size(1)), labels_of(valid));
  if (comm.rank() == 0 && reports::is_at_bound(temperature)) {
    log::warn("evaluate", str("the temperature is at the bound of the search, ", temperature,
                              ": the validation texts are all answered rightly, or hardly any; do not use it"));
  }
  return temperature;
}

// What prepare-labelled found that makes a figure measured on the folder doubtful.
std::vector<std::string> doubts_of(const fs::path& data) {
  return data::corpus_provenance(data).value("doubts", std::vector<std::string>());
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
  const at::Tensor probabilities = mean_probabilities(models, shards, options, comm);
  std::optional<double> temperature;
  if (options.calibration) temperature = temperature_of(models, options, corpus, comm);
  reports::Classification c = train::tabulate(probabilities, shards, corpus.labels, options.split);
  if (comm.rank() != 0) return {};
  if (options.top_losses > 0) c.hardest = hardest_texts(models, probabilities, shards, corpus.labels, options);
  c.calibration.answers = confidences(probabilities, shards, 1);
  if (temperature) {
    c.calibration.temperature = temperature;
    c.calibration.at_temperature = confidences(probabilities, shards, *temperature);
  }
  Evaluated result = classification_result(c, options.reject_below);
  result.metrics["models"] = options.models;
  std::vector<std::pair<std::string, std::string>> summary = {{"data", options.data}, {"split", options.split}};
  for (const std::string& doubt : doubts_of(options.data)) {
    log::warn("evaluate", str("in ", options.data, ": ", doubt));
    result.metrics["doubts"].push_back(doubt);
    summary.emplace_back("doubt", doubt);
  }
  if (options.baselines) result.metrics["baselines"] = baselines(options, corpus, shards);
  if (!options.report.empty()) {
    std::string config;
    for (const auto& model : models) config += "model = " + model.folder.string() + "\n";
    write_evaluation(options.report,
                     {"evaluate: " + options.data, "evaluate", summary, reports::kClassifierMetrics, c, config},
                     result.metrics);
    result.metrics.erase("top_losses");  // they are in the file: the line is to stay readable
  }
  return result;
}

}  // namespace ulmfit::stages
