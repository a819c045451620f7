#include "text/tokenizer.h"

#include "base/error.h"
#include "text/code_point.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/word_tokenizer.h"

namespace ulmfit::text {
namespace {

class WhitespaceTokenizer final : public Tokenizer {
 public:
  void tokenize(std::string_view text, std::vector<std::string>& tokens) const override {
    split_at_blanks(text, [&](std::string_view part) { tokens.emplace_back(part); });
  }
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(TokenizerKind kind, std::string_view sentencepiece_model) {
  switch (kind) {
    case TokenizerKind::kWords:
      return std::make_unique<WordTokenizer>();
    case TokenizerKind::kWhitespace:
      return std::make_unique<WhitespaceTokenizer>();
    case TokenizerKind::kSentencePiece:
      return std::make_unique<SentencePieceTokenizer>(sentencepiece_model);
  }
  throw ConfigError("there is no such tokenizer; choose words, whitespace or sentencepiece");
}

}  // namespace ulmfit::text
