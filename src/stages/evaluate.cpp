#include "stages/evaluate.h"

#include "base/error.h"
#include "data/corpus_folder.h"
#include "stages/compute.h"
#include "stages/evaluate_kinds.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {
namespace {

// They read what the corpus is made of.
void check_reads(const TrainedModel& model, const data::CorpusInfo& corpus, const std::string& data) {
  if (model.vocabulary->fingerprint() != corpus.vocabulary_fingerprint) {
    throw DataError(str("the vocabulary of ", data, " is not that of ", model.folder.string(),
                        "; prepare the data with --vocab ", model.folder.string()));
  }
  check_same_text(model, corpus, data);
}

}  // namespace

std::vector<TrainedModel> read_models(const std::vector<std::string>& paths, const EvaluateOptions& options,
                                      const data::CorpusInfo& corpus, at::Device device) {
  std::vector<TrainedModel> models;
  for (const auto& path : paths) {
    models.push_back(read_stage(path, device));
    const HeadKind& kind = models.back().info.head->kind();
    const HeadKind& expected = models.front().info.head->kind();
    if (kind.name != expected.name) {
      throw CheckpointError(str(path, " is a ", kind.what, ", ", paths.front(), " is a ", expected.what));
    }
    models.back().encoder->set_precision(use_precision(options.compute.precision, device));
    check_reads(models.back(), corpus, options.data);
  }
  return models;
}

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
  set.add("top-losses", top_losses,
          "of classifiers: show so many texts whose label the model finds least likely: hard ones, or wrong labels",
          {.min = 0, .max = 100000});
  set.add(
      "calibration", calibration,
      "of classifiers: also fit a temperature on the validation texts, which predict --temperature takes, and show how far "
      "probabilities can be trusted with it");
  set.add("reject-below", reject_below,
          "of classifiers: also show the error without the texts whose label is less probable", {.min = 0, .max = 1});
  set.add(
      "against", against,
      "other classifiers, averaged like those of --model: how far apart the errors on these texts are, and McNemar's test");
  set.add("baselines", baselines, "also show the majority class and word-count naive Bayes on the same split");
}

Evaluated evaluate(const EvaluateOptions& options, comm::Communicator& comm) {
  const data::CorpusInfo corpus = data::open_corpus(options.data);
  if (!corpus.splits.contains(options.split)) {
    std::string names;
    for (const auto& [name, unused] : corpus.splits) {
      if (name != "train" || corpus.splits.size() == 1) names += (names.empty() ? "" : " or ") + name;
    }
    throw DataError(str("--split=", options.split, ": ", options.data, " has no such texts; give --split ", names));
  }
  const data::ShardSet shards = data::open_split(options.data, corpus, options.split);
  const std::vector<TrainedModel> models = read_models(options.models, options, corpus, comm.device());
  if (options.calibration && (options.split == "valid" || !corpus.splits.contains("valid"))) {
    throw ConfigError(str("--calibration fits a temperature on the validation texts and is judged on others: ",
                          options.split == "valid" ? "give another --split" : options.data + " has no validation texts"));
  }
  if (options.baselines && !corpus.splits.contains("valid")) {
    throw DataError(str("--baselines: ", options.data,
                        " has no validation split, which chooses naive Bayes' smoothing; prepare it with one, or leave "
                        "--baselines out"));
  }
  return models.front().info.head->kind().evaluate(models, shards, options, corpus, comm);
}

}  // namespace ulmfit::stages
