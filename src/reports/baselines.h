// What a classifier has to beat: the majority class, and multinomial naive Bayes on word counts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/shard_reader.h"

namespace ulmfit::reports {

struct BaselineResult {
  std::string name;
  std::int64_t total = 0;
  std::int64_t correct = 0;
  double error = 0;                       // 1 - correct / total
  std::vector<std::int32_t> predictions;  // one a document of the test set
};

// Predicts the commonest label of `train` (the smallest id among equals) everywhere. Throws DataError for an empty set.
BaselineResult majority_baseline(const data::ShardSet& train, const data::ShardSet& test);

// argmax_c log(n_c / n) + sum over tokens w of log((count(w, c) + alpha) / (tokens(c) + alpha V)), V the vocabulary's size,
// as in Manning, Raghavan, Schuetze, "Introduction to Information Retrieval", 13.2. alpha in {0.01, 0.1, 0.3, 1} with the
// fewest errors on `valid` (the largest among equals) is named in the result. Equal scores: the smallest label id. Throws
// DataError for an empty set.
BaselineResult naive_bayes_baseline(const data::ShardSet& train, const data::ShardSet& valid, const data::ShardSet& test);

}  // namespace ulmfit::reports
