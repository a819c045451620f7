// evaluate by kind of head; each is called by evaluate(), which has checked what holds for every kind.
#pragma once

#include <vector>

#include "comm/communicator.h"
#include "data/corpus_folder.h"
#include "data/shard_reader.h"
#include "stages/evaluate.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {

// Perplexity of each. Collective.
Evaluated evaluate_language_models(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                                   const EvaluateOptions& options, const data::CorpusInfo& corpus,
                                   comm::Communicator& comm);

// Of the mean of their probabilities: error rate, macro-F1, confusion matrix, and baselines and a report, if asked for.
// Throws CheckpointError for models of different classes. Collective.
Evaluated evaluate_classifiers(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                               const EvaluateOptions& options, const data::CorpusInfo& corpus, comm::Communicator& comm);

}  // namespace ulmfit::stages
