#include "stages/explain.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "model/pooling_head.h"
#include "model/token_shares.h"
#include "text/vocabulary.h"

namespace ulmfit::stages {

void Explanation::add(const TrainedModel& model, const std::vector<model::LstmWeights>& weights,
                      const std::vector<std::int64_t>& ids) {
  auto& head = head_as<model::PoolingHead>(model);
  const at::Tensor shares = model::token_shares(*model.encoder, head, weights, ids);
  by_label_.resize(static_cast<std::size_t>(shares.size(0)));
  models_ += 1;
  for (std::size_t label = 0; label < by_label_.size(); ++label) {
    const at::Tensor row = shares[static_cast<std::int64_t>(label)].contiguous();
    const auto* share = row.const_data_ptr<float>();
    for (std::size_t t = 0; t < ids.size(); ++t) {
      const std::string& word = model.vocabulary->token(ids[t]);
      if (text::is_special_token(word) && word != "xxunk") continue;  // a mark of the text rules
      if (share[t] != 0) by_label_[label][word] += static_cast<double>(share[t]);
    }
  }
}

WordShares Explanation::words_for(std::size_t label, std::size_t count) const {
  WordShares words;
  for (const auto& [word, share] : by_label_.at(label)) {
    if (share > 0) words.emplace_back(word, share / models_);
  }
  std::stable_sort(words.begin(), words.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  words.resize(std::min(words.size(), count));
  return words;
}

}  // namespace ulmfit::stages
