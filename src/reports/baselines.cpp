#include "reports/baselines.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <utility>

#include "base/error.h"

namespace ulmfit::reports {
namespace {

constexpr double kAlphas[] = {1, 0.3, 0.1, 0.01};

void check_not_empty(const data::ShardSet& set, const char* split) {
  if (set.document_count() == 0) throw DataError(str("cannot compute a baseline: the ", split, " set has no document"));
}

std::vector<std::int32_t> document_tokens(const data::ShardSet& set, std::int64_t document) {
  const std::int64_t start = set.document_start(document);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(set.document_start(document + 1) - start));
  set.read(start, tokens);
  return tokens;
}

std::vector<std::int64_t> label_counts(const data::ShardSet& set) {
  std::vector<std::int64_t> counts;
  for (std::int64_t d = 0; d < set.document_count(); ++d) {
    const auto label = static_cast<std::size_t>(set.label(d));
    if (label >= counts.size()) counts.resize(label + 1, 0);
    ++counts[label];
  }
  return counts;
}

BaselineResult score(std::string name, std::vector<std::int32_t> predictions, const data::ShardSet& set) {
  BaselineResult result;
  result.name = std::move(name);
  result.total = set.document_count();
  for (std::int64_t d = 0; d < result.total; ++d) {
    if (predictions[static_cast<std::size_t>(d)] == set.label(d)) ++result.correct;
  }
  result.error = 1 - static_cast<double>(result.correct) / static_cast<double>(result.total);
  result.predictions = std::move(predictions);
  return result;
}

// Word counts by class.
class NaiveBayes {
 public:
  explicit NaiveBayes(const data::ShardSet& train)
      : documents_(label_counts(train)), vocabulary_size_(static_cast<std::size_t>(train.header().vocabulary_size)) {
    words_.assign(documents_.size(), std::vector<std::int64_t>(vocabulary_size_, 0));
    tokens_.assign(documents_.size(), 0);
    for (std::int64_t d = 0; d < train.document_count(); ++d) {
      const auto label = static_cast<std::size_t>(train.label(d));
      const std::vector<std::int32_t> tokens = document_tokens(train, d);
      for (const std::int32_t token : tokens) ++words_[label][static_cast<std::size_t>(token)];
      tokens_[label] += static_cast<std::int64_t>(tokens.size());
    }
    all_documents_ = train.document_count();
  }

  std::vector<std::int32_t> predict(const data::ShardSet& set, double alpha) const {
    std::vector<std::vector<double>> log_words;  // log P(word | class)
    for (std::size_t c = 0; c < documents_.size(); ++c) log_words.push_back(word_probabilities(c, alpha));
    std::vector<std::int32_t> predictions;
    for (std::int64_t d = 0; d < set.document_count(); ++d) {
      const std::vector<std::int32_t> tokens = document_tokens(set, d);
      std::vector<double> scores;
      for (std::size_t c = 0; c < documents_.size(); ++c) {
        double sum = std::log(static_cast<double>(documents_[c]) / static_cast<double>(all_documents_));
        for (const std::int32_t token : tokens) sum += log_words[c][static_cast<std::size_t>(token)];
        scores.push_back(sum);
      }
      predictions.push_back(static_cast<std::int32_t>(std::max_element(scores.begin(), scores.end()) - scores.begin()));
    }
    return predictions;
  }

 private:
  std::vector<double> word_probabilities(std::size_t c, double alpha) const {
    const double denominator = static_cast<double>(tokens_[c]) + alpha * static_cast<double>(vocabulary_size_);
    std::vector<double> logs;
    for (const std::int64_t count : words_[c]) logs.push_back(std::log((static_cast<double>(count) + alpha) / denominator));
    return logs;
  }

  std::vector<std::int64_t> documents_;  // by class
  std::vector<std::int64_t> tokens_;
  std::vector<std::vector<std::int64_t>> words_;
  std::size_t vocabulary_size_;
  std::int64_t all_documents_ = 0;
};

}  // namespace

BaselineResult majority_baseline(const data::ShardSet& train, const data::ShardSet& test) {
  check_not_empty(train, "training");
  check_not_empty(test, "test");
  const std::vector<std::int64_t> counts = label_counts(train);
  const auto label = static_cast<std::int32_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
  return score("majority class", std::vector<std::int32_t>(static_cast<std::size_t>(test.document_count()), label), test);
}

BaselineResult naive_bayes_baseline(const data::ShardSet& train, const data::ShardSet& valid, const data::ShardSet& test) {
  check_not_empty(train, "training");
  check_not_empty(valid, "validation");
  check_not_empty(test, "test");
  const NaiveBayes model(train);
  double best_alpha = 0;
  std::int64_t best_correct = -1;
  for (const double alpha : kAlphas) {
    const std::int64_t correct = score("", model.predict(valid, alpha), valid).correct;
    if (correct > best_correct) std::tie(best_correct, best_alpha) = std::pair(correct, alpha);
  }
  return score(str("naive Bayes (alpha ", best_alpha, ")"), model.predict(test, best_alpha), test);
}

}  // namespace ulmfit::reports
