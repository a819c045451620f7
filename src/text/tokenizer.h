// Text to tokens. Objects are immutable after construction; tokenize() may be called from several threads at once.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/named_values.h"

namespace ulmfit::text {

enum class TokenizerKind { kWords, kWhitespace, kSentencePiece };

inline constexpr Named<TokenizerKind> kTokenizerKinds[] = {{TokenizerKind::kWords, "words"},
                                                           {TokenizerKind::kWhitespace, "whitespace"},
                                                           {TokenizerKind::kSentencePiece, "sentencepiece"}};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Appends the tokens of `text` (valid UTF-8) to `tokens`. No token is empty or holds a blank or a control character.
  virtual void tokenize(std::string_view text, std::vector<std::string>& tokens) const = 0;
};

// kWords: ICU word boundaries (root locale; dictionary-based for Chinese, Japanese, Thai ...), punctuation marks are
// tokens,
//   runs of white space are dropped, apostrophe endings split as in English treebanks ("don't" -> "do n't", "it's" -> "it
//   's"). Special tokens (xx...) pass unchanged.
// kWhitespace: splits at Unicode white space.
// kSentencePiece: `sentencepiece_model` holds the bytes of a .model file.
std::unique_ptr<Tokenizer> make_tokenizer(TokenizerKind kind, std::string_view sentencepiece_model = {});

}  // namespace ulmfit::text
