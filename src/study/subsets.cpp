#include "study/subsets.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_set>

#include "base/error.h"
#include "base/random.h"

namespace ulmfit::study {
namespace {

std::vector<std::int64_t> counts_of(const std::vector<std::size_t>& texts, const std::vector<std::int32_t>& labels,
                                    std::size_t classes) {
  std::vector<std::int64_t> counts(classes, 0);
  for (const std::size_t t : texts) ++counts[static_cast<std::size_t>(labels[t])];
  return counts;
}

std::vector<std::uint32_t> permutation(std::uint64_t seed, Purpose purpose, std::uint32_t stream, std::size_t n) {
  return random_permutation({seed, purpose, 0, stream}, static_cast<std::uint32_t>(n));
}

// The numbers of the first copies.
std::vector<std::size_t> distinct(const std::vector<std::string>& texts) {
  std::unordered_set<std::string_view> seen;
  std::vector<std::size_t> first;
  for (std::size_t t = 0; t < texts.size(); ++t) {
    if (seen.insert(texts[t]).second) first.push_back(t);
  }
  return first;
}

}  // namespace

Draw draw_validation(const std::vector<std::string>& texts, const std::vector<std::int32_t>& labels,
                     const std::vector<std::string>& classes, double share, std::uint64_t seed) {
  const std::vector<std::size_t> candidates = distinct(texts);
  const std::vector<std::int64_t> counts = counts_of(candidates, labels, classes.size());
  const auto smallest = std::min_element(counts.begin(), counts.end());
  if (*smallest < 2) {
    throw DataError(str("cannot draw a validation set from the training texts: class '",
                        classes[static_cast<std::size_t>(smallest - counts.begin())], "' has ", *smallest,
                        *smallest == 1 ? " text" : " texts",
                        " (copies of one text count once), and one is needed to train and one to validate; give more texts "
                        "of it, leave it out, or give --valid"));
  }
  const double wanted = share * static_cast<double>(candidates.size()) / static_cast<double>(classes.size());
  const std::int64_t each = std::clamp<std::int64_t>(std::llround(wanted), 1, std::max<std::int64_t>(*smallest / 5, 1));
  std::vector<std::int64_t> open(classes.size(), each);
  std::vector<bool> validates(texts.size(), false);
  for (const std::uint32_t place : permutation(seed, Purpose::kSplit, 0, candidates.size())) {
    const std::size_t t = candidates[place];
    std::int64_t& left = open[static_cast<std::size_t>(labels[t])];
    if (left == 0) continue;
    --left;
    validates[t] = true;
  }
  Draw draw;
  for (const std::size_t t : candidates) (validates[t] ? draw.valid : draw.pool).push_back(t);
  return draw;
}

Draw without_copies(const std::vector<std::string>& texts, const std::vector<std::string>& valid_texts) {
  const std::unordered_set<std::string_view> known(valid_texts.begin(), valid_texts.end());
  Draw draw;
  for (const std::size_t t : distinct(texts)) {
    if (!known.contains(texts[t])) draw.pool.push_back(t);
  }
  return draw;
}

std::vector<std::int64_t> balanced_counts(std::int64_t size, std::size_t classes, std::uint64_t seed) {
  const auto n = static_cast<std::int64_t>(classes);
  std::vector<std::int64_t> counts(classes, size / n);
  const std::vector<std::uint32_t> order = permutation(seed, Purpose::kSubset, 1, classes);
  for (std::int64_t k = 0; k < size % n; ++k) ++counts[order[static_cast<std::size_t>(k)]];
  return counts;
}

std::vector<std::size_t> draw_subset(const std::vector<std::size_t>& pool, const std::vector<std::int32_t>& labels,
                                     std::size_t classes, std::int64_t size, std::uint64_t seed) {
  std::vector<std::int64_t> open = balanced_counts(size, classes, seed);
  std::vector<std::size_t> subset;
  for (const std::uint32_t place : permutation(seed, Purpose::kSubset, 0, pool.size())) {
    std::int64_t& left = open[static_cast<std::size_t>(labels[pool[place]])];
    if (left == 0) continue;
    --left;
    subset.push_back(pool[place]);
  }
  std::sort(subset.begin(), subset.end());
  return subset;
}

void check_subsets(const std::vector<std::size_t>& pool, const std::vector<std::int32_t>& labels,
                   const std::vector<std::string>& classes, const std::vector<std::int64_t>& sizes, std::int64_t seeds) {
  const std::vector<std::int64_t> there = counts_of(pool, labels, classes.size());
  const std::int64_t fewest = *std::min_element(there.begin(), there.end());
  for (const std::int64_t size : sizes) {
    if (size < static_cast<std::int64_t>(classes.size())) {
      throw ConfigError(str("--labels=", size, ": a balanced subset of ", classes.size(), " classes has ", classes.size(),
                            " labels or more"));
    }
    for (std::int64_t seed = 1; seed <= seeds; ++seed) {
      const std::vector<std::int64_t> wanted = balanced_counts(size, classes.size(), static_cast<std::uint64_t>(seed));
      for (std::size_t c = 0; c < classes.size(); ++c) {
        if (wanted[c] <= there[c]) continue;
        throw DataError(str("cannot draw a balanced subset of ", size, " labels: it takes ", wanted[c], " texts of class '",
                            classes[c], "', and beside the validation set there are ", there[c], " of them (and ",
                            pool.size(), " texts in all, copies of one text counted once); ", fewest,
                            " of each class are there: give --labels of at most ",
                            fewest * static_cast<std::int64_t>(classes.size()), ", or more texts"));
      }
    }
  }
}

}  // namespace ulmfit::study
