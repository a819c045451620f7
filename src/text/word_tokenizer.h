// Words and punctuation marks.
#pragma once

#include "text/tokenizer.h"

namespace ulmfit::text {

// TokenizerKind::kWords. ICU's word boundaries, then: blanks and characters that are never seen are dropped; an ending with
// an apostrophe (n't 's 're 've 'll 'd 'm, with ' or U+2019, in either case) is a token of its own, whether it was written
// to its word ("it's") or already parted from it ("it 's").
class WordTokenizer final : public Tokenizer {
 public:
  void tokenize(std::string_view text, std::vector<std::string>& tokens) const override;
};

}  // namespace ulmfit::text
