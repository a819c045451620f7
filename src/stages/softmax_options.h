// Which softmax pretraining computes over a large vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/named_values.h"
#include "config/option_set.h"
#include "data/shard_reader.h"
#include "model/awd_lstm.h"
#include "model/softmax_head.h"

namespace ulmfit::stages {

enum class SoftmaxKind { kFull, kAdaptive, kSampled };
inline constexpr Named<SoftmaxKind> kSoftmaxKinds[] = {
    {SoftmaxKind::kFull, "full"}, {SoftmaxKind::kAdaptive, "adaptive"}, {SoftmaxKind::kSampled, "sampled"}};

struct SoftmaxOptions {
  SoftmaxKind kind = SoftmaxKind::kFull;
  std::vector<std::int64_t> cutoffs;  // of the adaptive one
  std::int64_t samples = 0;           // of the sampled one
  void declare(config::OptionSet& set);

  // ConfigError unless the options fit each other and so many words.
  void check(std::int64_t vocabulary) const;
  // The head of that encoder. ConfigError as check().
  std::unique_ptr<model::SoftmaxHead> make(const model::AwdLstm& encoder, std::uint64_t seed) const;

  // Of approximations, after check(): what they compute, for the plan; and whether the words are so ordered that it pays.
  struct Outlook {
    std::string summary;
    std::string doubt;  // empty: none
  };
  // `text` is read on this thread.
  Outlook outlook(const data::ShardSet& text, std::int64_t vocabulary) const;
};

// Shares of a text's tokens, counted in a million of them from all over it.
struct Coverage {
  double first_words = 0;    // that are among the vocabulary's first words
  double most_frequent = 0;  // among as many: special tokens, which come first in any order, and what is most frequent here
};
Coverage coverage(const data::ShardSet& text, std::int64_t vocabulary, std::int64_t words);

}  // namespace ulmfit::stages
