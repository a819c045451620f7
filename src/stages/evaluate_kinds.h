// evaluate by kind of head; each is called by evaluate(), which has checked what holds for every kind.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "data/corpus_folder.h"
#include "data/shard_reader.h"
#include "stages/evaluate.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {

// Stages of one kind, ready to be evaluated on the corpus, in the precision of `options`. Throws CheckpointError for one of
// another kind, DataError for one that reads other words or text rules.
std::vector<TrainedModel> read_models(const std::vector<std::string>& paths, const EvaluateOptions& options,
                                      const data::CorpusInfo& corpus, at::Device device);

// Perplexity of each. Collective.
Evaluated evaluate_language_models(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                                   const EvaluateOptions& options, const data::CorpusInfo& corpus,
                                   comm::Communicator& comm);

// Of the mean of their probabilities: error rate, macro-F1, confusion matrix, and baselines, a comparison with others and a
// report, if asked for; of texts with several labels what evaluate_multilabel() tells. Throws CheckpointError for models of
// different classes. Collective.
Evaluated evaluate_classifiers(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                               const EvaluateOptions& options, const data::CorpusInfo& corpus, comm::Communicator& comm);

// Of classifiers that give several labels a text, on such texts of their classes: share of wrong decisions, of texts that
// are wholly right, F1, and the figures by class, at the mean of their thresholds. Collective.
Evaluated evaluate_multilabel(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                              const EvaluateOptions& options, const data::CorpusInfo& corpus, comm::Communicator& comm);

// Mean of the classifiers' probabilities, [documents, classes] float32 on the CPU. Collective.
at::Tensor mean_probabilities(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                              const EvaluateOptions& options, comm::Communicator& comm);

// Of a report: models, split and data.
std::string title_of(const EvaluateOptions& options);

// The models, as lines of a configuration.
std::string config_of(const std::vector<TrainedModel>& models);

}  // namespace ulmfit::stages
