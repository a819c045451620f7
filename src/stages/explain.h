// The words that an answer of classifiers rests on (model/token_shares.h), for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/awd_lstm.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {

using WordShares = std::vector<std::pair<std::string, double>>;

// Of one text, over the models whose probabilities are averaged.
class Explanation {
 public:
  // `ids`: the text as that classifier reads it.
  void add(const TrainedModel& model, const std::vector<model::LstmWeights>& weights, const std::vector<std::int64_t>& ids);

  // For the class, the words that speak for it most, at most `count`, with what they add to its logit in the mean of the
  // models; all places of a word together. Words are tokens as the
  // model knows them, without the marks of the text rules; all unknown ones are xxunk.
  WordShares words_for(std::size_t label, std::size_t count) const;

 private:
  std::vector<std::map<std::string, double>> by_label_;
  double models_ = 0;
};

}  // namespace ulmfit::stages
