// Decisions of classifiers about texts that have several labels, or none.
#include <ATen/ATen.h>

#include <cstdio>
#include <iomanip>
#include <optional>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "reports/multilabel_metrics.h"
#include "stages/classification_result.h"
#include "stages/classifier_info.h"
#include "stages/evaluate_kinds.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

void refuse_options_of_one_label(const EvaluateOptions& options) {
  const std::pair<bool, const char*> of_one_label[] = {{options.top_losses > 0, "--top-losses"},
                                                       {options.baselines, "--baselines"},
                                                       {!options.against.empty(), "--against"},
                                                       {options.calibration, "--calibration"},
                                                       {options.reject_below > 0, "--reject-below"}};
  for (const auto& [given, option] : of_one_label) {
    if (given) throw ConfigError(str(option, " is for texts of one label, and those of ", options.data, " have several"));
  }
}

reports::Multilabel decisions(const std::vector<TrainedModel>& models, const at::Tensor& probabilities,
                              const data::ShardSet& shards, const data::CorpusInfo& corpus, const std::string& split) {
  std::vector<const ClassifierInfo*> infos;
  for (const TrainedModel& model : models) infos.push_back(model.info.head_info_as<ClassifierInfo>());
  const at::Tensor p = probabilities.contiguous();
  const reports::MultilabelAnswers answers{{p.const_data_ptr<float>(), static_cast<std::size_t>(p.numel())},
                                           corpus.labels.size(),
                                           shards.labels(),
                                           corpus.label_sets};
  return reports::count_decisions(answers, corpus.labels, mean_thresholds(infos), split);
}

std::string table_text(const reports::Multilabel& decided, const reports::MultilabelMetrics& metrics) {
  std::ostringstream out;
  char row[200];
  std::snprintf(row, sizeof row, "%-24s %9s %9s %9s %9s %8s\n", "class", "threshold", "precision", "recall", "F1", "texts");
  out << '\n' << row;
  for (std::size_t c = 0; c < decided.labels.size(); ++c) {
    const reports::ClassMetrics& f = metrics.classes[c];
    std::snprintf(row, sizeof row, " %9.3f %9.3f %9.3f %9.3f %8lld\n", decided.thresholds[c], f.precision, f.recall, f.f1,
                  static_cast<long long>(f.support));
    out << std::left << std::setw(24) << decided.labels[c] << row;
  }
  std::snprintf(
      row, sizeof row,
      "\n%.2f %% of decisions wrong, %.2f %% of texts wholly right (95 %% interval %.2f to %.2f %%), micro-F1 %.3f, "
      "macro-F1 %.3f, %lld texts\n",
      100 * metrics.error, 100 * metrics.whole_accuracy, 100 * metrics.whole_interval.low,
      100 * metrics.whole_interval.high, metrics.micro_f1, metrics.macro_f1, static_cast<long long>(decided.texts));
  out << row;
  return out.str();
}

json metrics_json(const reports::Multilabel& decided, const reports::MultilabelMetrics& metrics) {
  json classes = json::array();
  for (std::size_t c = 0; c < decided.labels.size(); ++c) {
    const reports::ClassMetrics& f = metrics.classes[c];
    classes.push_back({{"label", decided.labels[c]},
                       {"threshold", decided.thresholds[c]},
                       {"precision", f.precision},
                       {"recall", f.recall},
                       {"f1", f.f1},
                       {"texts", f.support},
                       {"predicted", f.predicted},
                       {"hits", decided.counts[c].hits}});
  }
  return {{"split", decided.split},
          {"texts", decided.texts},
          {"error", metrics.error},
          {"subset_accuracy", metrics.whole_accuracy},
          {"subset_accuracy_low", metrics.whole_interval.low},
          {"subset_accuracy_high", metrics.whole_interval.high},
          {"micro_f1", metrics.micro_f1},
          {"macro_f1", metrics.macro_f1},
          {"classes", classes}};
}

}  // namespace

Evaluated evaluate_multilabel(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                              const EvaluateOptions& options, const data::CorpusInfo& corpus, comm::Communicator& comm) {
  refuse_options_of_one_label(options);
  const at::Tensor probabilities = mean_probabilities(models, shards, options, comm);
  if (comm.rank() != 0) return {};
  const reports::Multilabel decided = decisions(models, probabilities, shards, corpus, options.split);
  const reports::MultilabelMetrics metrics = reports::multilabel_metrics(decided);
  Evaluated result{metrics_json(decided, metrics), table_text(decided, metrics)};
  result.metrics["models"] = options.models;
  Summary summary = {{"data", options.data}, {"split", options.split}};
  std::vector<std::string> doubts = data::doubts_of(options.data);
  if (options.split == "valid") {
    doubts.emplace_back("the thresholds were chosen on the validation texts: figures on them are better than on others");
  }
  add_doubts(doubts, "evaluate", str("in ", options.data, ": "), result, summary);
  if (!options.report.empty()) {
    write_evaluation(
        options.report,
        {title_of(options), "evaluate", summary, reports::kMultilabelMetrics, std::nullopt, config_of(models), decided},
        result.metrics);
  }
  return result;
}

}  // namespace ulmfit::stages
