#include "stages/softmax_options.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <numeric>

#include "base/error.h"
#include "model/adaptive_softmax.h"
#include "model/sampled_softmax.h"
#include "reports/number_format.h"
#include "text/vocabulary.h"

namespace ulmfit::stages {
namespace {

std::string joined(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (const std::int64_t number : numbers) text += (text.empty() ? "" : " ") + std::to_string(number);
  return text;
}

void check_cutoffs(const std::vector<std::int64_t>& cutoffs, std::int64_t vocabulary) {
  if (cutoffs.empty()) {
    throw ConfigError(
        "--softmax.kind=adaptive needs --softmax.cutoffs: the ids at which its clusters of rare words begin (AWD-LSTM: "
        "2800 "
        "20000 76000 of 267735 words)");
  }
  if (std::adjacent_find(cutoffs.begin(), cutoffs.end(), std::greater_equal<>()) != cutoffs.end()) {
    throw ConfigError(str("--softmax.cutoffs ", joined(cutoffs), ": expected each above the one before"));
  }
  if (cutoffs.back() >= vocabulary) {
    throw ConfigError(str("--softmax.cutoffs ", joined(cutoffs), ": ", cutoffs.back(), " leaves no word of the ",
                          vocabulary, " of the vocabulary to its cluster; expected below ", vocabulary));
  }
}

void check_samples(std::int64_t samples, std::int64_t vocabulary) {
  if (samples == 0) {
    throw ConfigError("--softmax.kind=sampled needs --softmax.samples: how many words are drawn for a step, such as 8192");
  }
  if (samples > vocabulary / 2) {  // distinct words: the last of so many would take long to draw
    throw ConfigError(str("--softmax.samples=", samples, ": the vocabulary has ", vocabulary, " words; expected ",
                          vocabulary / 2, " at most, or --softmax.kind=full"));
  }
}

}  // namespace

void SoftmaxOptions::declare(config::OptionSet& set) {
  set.add("softmax.kind", kind, kSoftmaxKinds,
          "what a training step computes of a large vocabulary: full, all words; adaptive, the frequent ones and the "
          "clusters of rare ones that it needs; sampled, words that are drawn. The finished stage has the full softmax");
  set.add("softmax.cutoffs", cutoffs,
          "adaptive: ids at which the clusters begin, such as 2800 20000 76000 (ids are ordered by frequency)", {.min = 1});
  set.add("softmax.samples", samples, "sampled: words drawn for a step, frequent ones more likely (Zipf)", {.min = 0});
  set.add_value_of_older_runs("softmax.kind", "full");
  set.add_value_of_older_runs("softmax.samples", "0");
}

void SoftmaxOptions::check(std::int64_t vocabulary) const {
  if (kind == SoftmaxKind::kAdaptive) check_cutoffs(cutoffs, vocabulary);
  if (kind == SoftmaxKind::kSampled) check_samples(samples, vocabulary);
  if (kind != SoftmaxKind::kAdaptive && !cutoffs.empty()) {
    throw ConfigError("--softmax.cutoffs are those of the adaptive softmax: give --softmax.kind=adaptive");
  }
  if (kind != SoftmaxKind::kSampled && samples != 0) {
    throw ConfigError("--softmax.samples are those of the sampled softmax: give --softmax.kind=sampled");
  }
}

std::unique_ptr<model::SoftmaxHead> SoftmaxOptions::make(const model::AwdLstm& encoder, std::uint64_t seed) const {
  check(encoder.shape().vocabulary);
  if (kind == SoftmaxKind::kAdaptive) return std::make_unique<model::AdaptiveSoftmaxHead>(encoder, cutoffs);
  if (kind == SoftmaxKind::kSampled) return std::make_unique<model::SampledSoftmaxHead>(encoder, samples, seed);
  return std::make_unique<model::SoftmaxHead>(encoder);
}

SoftmaxOptions::Outlook SoftmaxOptions::outlook(const data::ShardSet& text, std::int64_t vocabulary) const {
  constexpr double kMuchLess = 0.05;
  const bool adaptive = kind == SoftmaxKind::kAdaptive;
  const std::int64_t first = adaptive ? cutoffs.front() : samples;
  const Coverage covered = coverage(text, vocabulary, first);
  Outlook outlook;
  outlook.summary = adaptive ? str("adaptive: the first ", first, " words, ", reports::percent(covered.first_words),
                                   " of the text, and ", cutoffs.size(), cutoffs.size() == 1 ? " cluster" : " clusters",
                                   " of the others, from ", joined(cutoffs))
                             : str("sampled: ", samples, " of the ", vocabulary,
                                   " words a step, whose loss is an estimate; validation takes all words");
  if (covered.first_words < covered.most_frequent - kMuchLess) {
    outlook.doubt = str(
        "the vocabulary is not ordered by how often words occur in this text: its first ", first, " are ",
        reports::percent(covered.first_words), " of it, its most frequent ones ", reports::percent(covered.most_frequent),
        adaptive ? ": the adaptive softmax is right all the same, but slower" : ": the sampled softmax draws less well");
  }
  return outlook;
}

Coverage coverage(const data::ShardSet& text, std::int64_t vocabulary, std::int64_t words) {
  constexpr std::int64_t kPieces = 100, kTokens = 10'000;  // spread over the text: its sources stand one after the other
  const std::int64_t apart = std::max<std::int64_t>(text.token_count() / kPieces, 1);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(std::min(kTokens, apart)));
  const auto length = static_cast<std::int64_t>(tokens.size());
  std::vector<std::int64_t> counts(static_cast<std::size_t>(vocabulary));
  std::int64_t counted = 0;
  for (std::int64_t first = 0; first + length <= text.token_count(); first += apart) {
    text.read(first, tokens);
    for (const std::int32_t token : tokens) ++counts.at(static_cast<std::size_t>(token));
    counted += length;
  }
  const auto share = [&] {
    const auto total = std::accumulate(counts.begin(), counts.begin() + std::min(words, vocabulary), std::int64_t{0});
    return static_cast<double>(total) / static_cast<double>(std::max<std::int64_t>(counted, 1));
  };
  Coverage covered;
  covered.first_words = share();
  const auto specials = static_cast<std::ptrdiff_t>(std::min(std::size(text::kSpecialTokens), counts.size()));
  std::sort(counts.begin() + specials, counts.end(), std::greater<>());
  covered.most_frequent = share();
  return covered;
}

}  // namespace ulmfit::stages
