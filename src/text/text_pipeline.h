// Everything that turns one document into tokens, as one value that travels with corpora and stages in text.json.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace ulmfit::text {

enum class TextRules {
  kFastai,   // of v2
  kFastai1,  // of v1: what its published models were trained on
  kNone,     // only "xxbos" is put in front
};

inline constexpr Named<TextRules> kTextRules[] = {
    {TextRules::kFastai, "fastai"}, {TextRules::kFastai1, "fastai1"}, {TextRules::kNone, "none"}};

struct TextOptions {
  TokenizerKind tokenizer = TokenizerKind::kWords;
  TextRules rules = TextRules::kFastai;
  std::string sentencepiece_model{};  // bytes of the .model file (kSentencePiece only)
};

// In bytes. ICU counts them in 31 bits, and the rules may make a text about four times as long ("aaa": " xxrep 3 a ").
inline constexpr std::size_t kLongestDocument = std::size_t{1} << 28;

class TextPipeline {
 public:
  explicit TextPipeline(TextOptions options);

  // Tokens of one document (any bytes: cleaned first), the first being xxbos. Thread-safe. Throws DataError beyond 256 MiB.
  std::vector<std::string> tokenize(std::string_view document) const;

  const TextOptions& options() const { return options_; }

  // text.json: kind, rules and their version, ICU version, and sample sentences with their tokens. from_json tokenizes the
  // samples again and throws DataError naming the first that differs (another ICU, say).
  nlohmann::json to_json() const;
  static TextPipeline from_json(const nlohmann::json& json);

  std::string fingerprint() const;  // of what decides the tokens: rules, tokenizer, SentencePiece model

 private:
  TextOptions options_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace ulmfit::text
