// Which texts a study trains and validates on: a validation set drawn once, and class-balanced subsets of the rest. Of one
// seed the smaller subset lies within the larger one, so that a curve over their sizes shows the texts that were added. All
// draws are pure functions of the seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ulmfit::study {

// Texts by their numbers. Copies of one text count once: the first.
struct Draw {
  std::vector<std::size_t> valid;
  std::vector<std::size_t> pool;  // what subsets are drawn from; no text of it is in `valid`
};

// Of each class the same number, `share` of all texts in all, but at most a fifth of the smallest class. `texts` and
// `labels` (class numbers below `classes`) are of one length. Throws DataError for a class with fewer than two texts.
Draw draw_validation(const std::vector<std::string>& texts, const std::vector<std::int32_t>& labels,
                     const std::vector<std::string>& classes, double share, std::uint64_t seed);

// The pool where the validation texts are given: all but copies of these.
Draw without_copies(const std::vector<std::string>& texts, const std::vector<std::string>& valid_texts);

// How many of the `size` texts of a subset are of each class: as many of one as of another, those left over one each to the
// classes that the seed puts first. Of a larger size no class has fewer.
std::vector<std::int64_t> balanced_counts(std::int64_t size, std::size_t classes, std::uint64_t seed);

// The subset's texts, sorted, out of `pool`. That of a larger size holds that of a smaller one. Its classes have texts
// enough (check_subsets).
std::vector<std::size_t> draw_subset(const std::vector<std::size_t>& pool, const std::vector<std::int32_t>& labels,
                                     std::size_t classes, std::int64_t size, std::uint64_t seed);

// Throws ConfigError for a size with less than a text a class, and DataError, naming the class, what is asked for and what
// is there, for the first size and seed (1 to `seeds`) that the pool has too few texts for.
void check_subsets(const std::vector<std::size_t>& pool, const std::vector<std::int32_t>& labels,
                   const std::vector<std::string>& classes, const std::vector<std::int64_t>& sizes, std::int64_t seeds);

}  // namespace ulmfit::study
