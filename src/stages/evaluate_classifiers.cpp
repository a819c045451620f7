// Error rate, confusion matrix and baselines of classifiers.
#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "reports/baselines.h"
#include "reports/calibration.h"
#include "reports/classification_metrics.h"
#include "reports/html_report.h"
#include "reports/paired_comparison.h"
#include "stages/classification_result.h"
#include "stages/classifier_info.h"
#include "stages/evaluate_kinds.h"
#include "stages/hard_texts.h"
#include "train/classifier_task.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

std::span<const float> values_of(const at::Tensor& contiguous) {
  return {contiguous.const_data_ptr<float>(), static_cast<std::size_t>(contiguous.numel())};
}

std::vector<reports::Confidence> confidences(const at::Tensor& probabilities, const data::ShardSet& shards,
                                             double temperature) {
  const at::Tensor p = probabilities.to(at::kCPU, at::kFloat).contiguous();
  return reports::confidences(values_of(p), static_cast<std::size_t>(p.size(1)), shards.labels(), temperature);
}

struct FittedTemperature {
  std::optional<double> value;
  std::string why_not;  // where there is none
};

// Fitted on the validation texts. Collective.
FittedTemperature temperature_of(const std::vector<TrainedModel>& models, const EvaluateOptions& options,
                                 const data::CorpusInfo& corpus, comm::Communicator& comm) {
  constexpr std::int64_t kFewest = 100;
  const data::ShardSet valid = data::open_split(options.data, corpus, "valid");
  if (valid.document_count() < kFewest) {
    return {{}, str("no temperature: ", kFewest, " validation texts are needed, there are ", valid.document_count())};
  }
  const at::Tensor p = mean_probabilities(models, valid, options, comm).to(at::kCPU, at::kFloat).contiguous();
  const double temperature = reports::fit_temperature(values_of(p), static_cast<std::size_t>(p.size(1)), valid.labels());
  if (reports::is_at_bound(temperature)) {
    return {{}, "no temperature fits: the validation texts are all answered rightly, or hardly any"};
  }
  return {temperature, ""};
}

// Whether the most probable class of each text is the given one.
std::vector<bool> right_answers(const at::Tensor& probabilities, const data::ShardSet& shards) {
  const at::Tensor best = probabilities.argmax(1).cpu();
  const auto* predicted = best.const_data_ptr<std::int64_t>();
  std::vector<bool> right;
  for (std::int64_t d = 0; d < shards.document_count(); ++d) right.push_back(predicted[d] == shards.label(d));
  return right;
}

// The models agree about their classes with each other and with the corpus, and about how many a text has.
void check_classes(const std::vector<TrainedModel>& models, const data::CorpusInfo& corpus, const std::string& data) {
  for (const TrainedModel& model : models) {
    require_same_classes(*model.info.head_info_as<ClassifierInfo>(), model.folder.string(),
                         *models.front().info.head_info_as<ClassifierInfo>(), models.front().folder.string());
  }
  const std::vector<std::string>& known = models.front().info.head_info_as<ClassifierInfo>()->labels;
  if (corpus.labels != known) {
    const auto missing_in = [](const std::vector<std::string>& there, const std::vector<std::string>& labels) {
      return std::find_if(labels.begin(), labels.end(), [&](const std::string& label) {
        return std::find(there.begin(), there.end(), label) == there.end();
      });
    };
    const auto in_data = missing_in(known, corpus.labels), in_model = missing_in(corpus.labels, known);
    const std::string difference = in_data != corpus.labels.end() ? str("only the data has '", *in_data, "'")
                                   : in_model != known.end()      ? str("only the classifier has '", *in_model, "'")
                                                                  : "they are the same in another order";
    throw DataError(str("the classes of ", data, " are not those of ", models.front().folder.string(), ": ", difference,
                        "; evaluate on the data that it was trained on, or prepare the new texts as --test of those"));
  }
  const bool several = models.front().info.head_info_as<ClassifierInfo>()->multilabel();
  if (several == corpus.multilabel()) return;
  throw DataError(str("the texts of ", data, several ? " have one label each, and " : " may have several labels, and ",
                      models.front().folder.string(), several ? " gives several" : " gives one", ": prepare the data ",
                      several ? "with" : "without", " --label-delimiter"));
}

// The probabilities of the classifiers that others are compared with. Collective.
at::Tensor probabilities_of_others(const data::ShardSet& shards, const EvaluateOptions& options,
                                   const data::CorpusInfo& corpus, comm::Communicator& comm) {
  const std::vector<TrainedModel> models = read_models(options.against, options, corpus, comm.device());
  if (models.front().info.head_info_as<ClassifierInfo>() == nullptr) {
    throw CheckpointError(str("--against: ", options.against.front(), " is a ", models.front().info.head->kind().what));
  }
  check_classes(models, corpus, options.data);
  return mean_probabilities(models, shards, options, comm);
}

std::string together(const std::vector<std::string>& models) {
  std::string names;
  for (const std::string& name : models) names += (names.empty() ? "" : " + ") + name;
  return names;
}

json comparison_json(const reports::PairedComparison& c, double error, const std::vector<std::string>& against) {
  return {{"models", together(against)},
          {"error", error - c.difference},
          {"difference", c.difference},
          {"low", c.interval.low},
          {"high", c.interval.high},
          {"right_here_alone", c.only_first},
          {"right_there_alone", c.only_second},
          {"p", c.p}};
}

constexpr double kChance = 0.05;  // of McNemar's test

std::string comparison_text(const reports::PairedComparison& c, const json& metrics) {
  const json& told = metrics.at("against");
  const auto other = told.at("models").get<std::string>();
  char errors[80], numbers[200];
  std::snprintf(errors, sizeof errors, "error %.2f %% here, %.2f %% of ", 100 * metrics.at("error").get<double>(),
                100 * told.at("error").get<double>());
  std::snprintf(numbers, sizeof numbers,
                "; difference %.2f points (95 %% interval %.2f to %.2f); right here alone %lld texts, there alone %lld, "
                "McNemar's test p %.2g: ",
                100 * c.difference, 100 * c.interval.low, 100 * c.interval.high, static_cast<long long>(c.only_first),
                static_cast<long long>(c.only_second), c.p);
  const std::string verdict = c.p >= kChance     ? "it may be chance"
                              : c.difference < 0 ? "these err less, beyond chance"
                                                 : "these err more, beyond chance";
  return errors + other + numbers + verdict;
}

std::vector<bool> right_of(const reports::BaselineResult& baseline, const data::ShardSet& shards) {
  std::vector<bool> right;
  for (std::int64_t d = 0; d < shards.document_count(); ++d) {
    right.push_back(baseline.predictions[static_cast<std::size_t>(d)] == shards.label(d));
  }
  return right;
}

// What makes the figures doubtful.
std::vector<std::string> doubts_about(const EvaluateOptions& options) {
  std::vector<std::string> doubts = data::doubts_of(options.data);
  if (options.split == "train") doubts.emplace_back("the classifier was trained on these texts: it errs more on others");
  if (options.split == "valid") {
    doubts.emplace_back(
        "the training was watched, and its weights may have been chosen, by these texts: it may err more on others");
  }
  return doubts;
}

std::string verdict_on(const reports::PairedComparison& against_bayes) {
  char p[40];
  std::snprintf(p, sizeof p, " (McNemar's test: p %.2g)", against_bayes.p);
  if (against_bayes.p < kChance && against_bayes.difference < 0) return str("errs less than naive Bayes, beyond chance", p);
  const bool worse = against_bayes.p < kChance;
  return str(worse ? "naive Bayes errs less" : "cannot be told apart from naive Bayes", p, ": word counts ",
             worse ? "tell more here than the classifier has learned" : "may do as well",
             "; what may help is more text of this kind, without labels too (--unlabelled of prepare-labelled and fit), a "
             "language model of more text (ulmfit fetch), or more labels");
}

// Adds what the classifier has to beat to table, summary and metrics, and says so if word counts beat it. right: which
// texts it answers rightly.
void add_baselines(const EvaluateOptions& options, const data::CorpusInfo& corpus, const data::ShardSet& test,
                   const std::vector<bool>& right, Evaluated& result, Summary& summary) {
  const data::ShardSet train = data::open_split(options.data, corpus, "train");
  const data::ShardSet valid = data::open_split(options.data, corpus, "valid");
  const reports::BaselineResult bayes = reports::naive_bayes_baseline(train, valid, test);
  const auto against_bayes = reports::paired_comparison(right, right_of(bayes, test));
  result.table += "\nto be beaten:\n";
  for (const auto& b : {reports::majority_baseline(train, test), bayes}) {
    add_baseline(b.name, b.correct, b.total, result, summary);
  }
  result.metrics["baselines"].back()["p"] = against_bayes.p;  // McNemar's test with the classifier
  const std::string verdict = verdict_on(against_bayes);
  result.metrics["verdict"] = verdict;
  result.table += str("  ", verdict, '\n');
  summary.emplace_back("against naive Bayes", verdict);
}

}  // namespace

at::Tensor mean_probabilities(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                              const EvaluateOptions& options, comm::Communicator& comm) {
  at::Tensor sum;
  for (const auto& model : models) {
    const data::DocumentBatchOptions batches{options.batch_size, false, model.info.backward, 0};
    const train::MicroBatches micro_batches{comm.size(), comm.rank(), 1};
    auto& head = head_as<model::PoolingHead>(model);
    const at::Tensor p =
        model.info.head_info_as<ClassifierInfo>()->multilabel()
            ? at::sigmoid(train::predict_logits(*model.encoder, head, shards, batches, micro_batches, comm))
            : train::predict_probabilities(*model.encoder, head, shards, batches, micro_batches, comm);
    sum = sum.defined() ? sum + p : p;
  }
  return sum / static_cast<double>(models.size());
}

std::string title_of(const EvaluateOptions& options) {
  return str(together(options.models), " on the ", options.split, " texts of ", options.data);
}

std::string config_of(const std::vector<TrainedModel>& models) {
  std::string config;
  for (const auto& model : models) config += "model = " + model.folder.string() + "\n";
  return config;
}

Evaluated evaluate_classifiers(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                               const EvaluateOptions& options, const data::CorpusInfo& corpus, comm::Communicator& comm) {
  if (!corpus.has_labels()) {
    throw DataError(str(options.data, " has no labels; a classifier is evaluated on a labelled folder"));
  }
  check_classes(models, corpus, options.data);
  if (corpus.multilabel()) return evaluate_multilabel(models, shards, options, corpus, comm);
  const at::Tensor probabilities = mean_probabilities(models, shards, options, comm);
  FittedTemperature temperature;
  if (options.calibration) temperature = temperature_of(models, options, corpus, comm);
  at::Tensor others;
  if (!options.against.empty()) others = probabilities_of_others(shards, options, corpus, comm);
  reports::Classification c = train::tabulate(probabilities, shards, corpus.labels, options.split);
  if (comm.rank() != 0) return {};
  if (options.top_losses > 0) c.hardest = hardest_texts(models, probabilities, shards, corpus.labels, options);
  c.calibration.answers = confidences(probabilities, shards, 1);
  if (temperature.value) {
    c.calibration.temperature = temperature.value;
    c.calibration.at_temperature = confidences(probabilities, shards, *temperature.value);
  }
  Evaluated result = classification_result(c, options.reject_below);
  result.metrics["models"] = options.models;
  Summary summary = {{"data", options.data}, {"split", options.split}};
  if (!temperature.why_not.empty()) {
    log::warn("evaluate", temperature.why_not);
    summary.emplace_back("calibration", temperature.why_not);
  }
  add_doubts(doubts_about(options), "evaluate", str("in ", options.data, ": "), result, summary);
  if (options.baselines) {
    add_baselines(options, corpus, shards, right_answers(probabilities, shards), result, summary);
  }
  if (others.defined()) {
    const auto paired = reports::paired_comparison(right_answers(probabilities, shards), right_answers(others, shards));
    result.metrics["against"] = comparison_json(paired, result.metrics.at("error"), options.against);
    summary.emplace_back("comparison", comparison_text(paired, result.metrics));
    result.table += summary.back().second + "\n";
  }
  if (!options.report.empty()) {
    write_evaluation(options.report,
                     {title_of(options), "evaluate", summary, reports::kClassifierMetrics, c, config_of(models)},
                     result.metrics);
    result.metrics.erase("top_losses");  // they are in the file: the line is to stay readable
  }
  return result;
}

}  // namespace ulmfit::stages
