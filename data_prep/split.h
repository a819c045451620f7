// Which documents are held out for validation or, fold by fold, for testing. Drawn by the counter-based generator
// (Purpose::kSplit): the same documents for the same seed, whatever the machine or the number of threads.
#pragma once

#include <cstdint>
#include <vector>

namespace ulmfit::data_prep {

// Throws ConfigError unless `share` is in [0, 1).
void check_share(double share);

// held_out[d] for `documents` documents: round(share * documents) of them, at least one and not all when share > 0.
// Throws DataError when there are fewer than two documents to choose from.
std::vector<bool> hold_out(std::int64_t documents, double share, std::uint64_t seed);

// Like it by label: of each label about `share` of its documents, at least one if it has two or more, never all. Documents
// of one group (numbers from 0; -1: a group of its own) stay together, so labels with large groups may get fewer. Throws
// DataError when nothing could be held out.
std::vector<bool> hold_out_by_label(const std::vector<std::int32_t>& labels, const std::vector<std::int32_t>& groups,
                                    double share, std::uint64_t seed);

// So many, where no groups stand in the way.
std::int64_t held_out_by_label(const std::vector<std::int32_t>& labels, double share);

// The fold, 0 to `folds` - 1, of each document: of each label, and in all, about as many in one fold as in another;
// documents of one group in the same. Throws DataError when there are fewer groups than folds.
std::vector<std::int32_t> folds_by_label(const std::vector<std::int32_t>& labels, const std::vector<std::int32_t>& groups,
                                         std::int32_t folds, std::uint64_t seed);

}  // namespace ulmfit::data_prep
