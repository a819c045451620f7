#include "model/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace ulmfit::model {

std::int64_t sample(std::span<const float> logits, const std::vector<bool>& allowed, const SamplingOptions& options,
                    double uniform) {
  std::vector<std::size_t> words;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (allowed[i]) words.push_back(i);
  }
  const auto likelier = [&](std::size_t a, std::size_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  };
  const std::size_t likeliest = *std::min_element(words.begin(), words.end(), likelier);
  if (options.temperature == 0) return static_cast<std::int64_t>(likeliest);
  if (const auto k = static_cast<std::size_t>(options.top_k); k > 0 && k < words.size()) {
    std::nth_element(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(k), words.end(), likelier);
    words.resize(k);
    std::sort(words.begin(), words.end());
  }
  std::vector<double> ends;  // of the words' shares of [0, total)
  double total = 0;
  for (const std::size_t i : words) {
    total += std::exp((static_cast<double>(logits[i]) - logits[likeliest]) / options.temperature);
    ends.push_back(total);
  }
  const auto drawn = std::upper_bound(ends.begin(), ends.end(), uniform * total);
  // Rounding may put uniform * total at the very end.
  const std::ptrdiff_t place = std::min(drawn - ends.begin(), static_cast<std::ptrdiff_t>(words.size()) - 1);
  return static_cast<std::int64_t>(words[static_cast<std::size_t>(place)]);
}

}  // namespace ulmfit::model
