// Pieces of a SentencePiece model. The only user of that library (in sentencepiece_tokenizer.cpp).
#pragma once

#include "text/tokenizer.h"

namespace ulmfit::text {

// TokenizerKind::kSentencePiece. Blanks become U+0020 for the model; special tokens (kSpecialTokens) that stand between
// blanks pass around it, so they are the same tokens under every tokenizer.
class SentencePieceTokenizer final : public Tokenizer {
 public:
  // Throws DataError if the bytes are no model, or if its pieces hold blanks.
  explicit SentencePieceTokenizer(std::string_view model);
  ~SentencePieceTokenizer() override;

  void tokenize(std::string_view text, std::vector<std::string>& tokens) const override;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace ulmfit::text
