// Which documents repeat others: exactly (the same tokens), or nearly (a run of kRunWords words in common). Words are the
// tokens in lower case that hold a letter or digit (or anything outside ASCII) and are no special tokens; marks between
// them do not matter.
#pragma once

#include <cstdint>
#include <vector>

#include "data_prep/token_spool.h"

namespace ulmfit::data_prep {

inline constexpr std::size_t kRunWords = 12;

struct Overlaps {
  // By document, bit s: it repeats a document of split s; for its own split, an earlier document. Documents without a word
  // repeat nothing.
  std::vector<std::uint8_t> exact;
  std::vector<std::uint8_t> near;   // never the bit of the split that is apart
  std::vector<std::int64_t> first;  // the first document with the same tokens (itself if it is the first)
};

// Of each document the first one with the same tokens: itself, if it is the first or has no word.
std::vector<std::int64_t> first_copies(const TokenSpool& spool);

// `split`: of each document, below 8. `apart`: a split that may be far larger than the others; its documents are compared
// with theirs, but nearly only, not with each other. `first`: what first_copies() gave. Memory: about 256 MiB at most for
// the runs of the others, whose number decides how often the spool is read, 32 MiB to look them up, and 10 bytes a
// document.
Overlaps find_overlaps(const TokenSpool& spool, const std::vector<std::uint8_t>& split, std::uint8_t apart,
                       std::vector<std::int64_t> first);

}  // namespace ulmfit::data_prep
