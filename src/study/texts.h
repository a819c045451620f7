// The texts of a study, read before it begins: what is wrong with them is said then, and what the cells will cost is
// estimated from their number and length.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "study/request.h"
#include "text/text_pipeline.h"

namespace ulmfit::study {

// Texts and labels by number.
struct LabelledTexts {
  std::vector<std::string> texts;
  std::vector<std::string> labels;
  std::vector<std::int32_t> classes;  // of the labels, their numbers in Sources::classes

  std::vector<std::size_t> all() const;
  double bytes(const std::vector<std::size_t>& which) const;
  // JSON lines with the fields text and label, which prepare-labelled reads back as they are.
  std::string lines(const std::vector<std::size_t>& which) const;
};

struct Sources {
  LabelledTexts train, valid, test;  // valid: none given, no texts
  std::vector<std::string> classes;  // of the training texts, by their bytes
  double unlabelled_bytes = 0;
  std::int64_t unlabelled_tests = 0;  // unlabelled texts that are test texts, word for word
};

// Reads all files. Throws DataError for what cannot be read, a missing column (with those that are there), a single class,
// a label of the other files that the training texts lack; ConfigError for texts of several labels.
Sources read_sources(const Request& request);

// Mean bytes of a token, by at most a thousand of the texts.
double bytes_a_token(const LabelledTexts& texts, const text::TextPipeline& pipeline);

}  // namespace ulmfit::study
