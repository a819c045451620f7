// A corpus of made-up tokens in a temporary folder, removed with the object. Word k (from 0) has a share of about
// 1 / ((k + 1) ln V), as words of a language have, so that there is something to learn. The same tokens for the same
// arguments. Ranks of one job may each make their own.
#pragma once

#include <cstdint>

#include "base/temp_folder.h"

namespace ulmfit::perf {

class SyntheticCorpus {
 public:
  // `documents` of `length` tokens on average. labels == 0: unlabelled, all of equal length; else lengths between a quarter
  // and seven quarters of it, and document i has label i % labels.
  SyntheticCorpus(std::int64_t vocabulary, std::int64_t documents, std::int64_t length, std::int64_t labels,
                  std::uint64_t seed);
  const fs::path& folder() const { return folder_.path(); }  // its split is "train"

 private:
  TempFolder folder_;
};

}  // namespace ulmfit::perf
