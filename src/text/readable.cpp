#include "text/readable.h"

#include <unicode/locid.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "text/code_point.h"
#include "text/vocabulary.h"

namespace ulmfit::text {
namespace {

constexpr std::int64_t kMostRepeats = 100;  // xxrep 1000000 would make a text of its own

std::string upper(std::string_view word, std::size_t first_bytes) {
  std::string out;
  icu::UnicodeString::fromUTF8(icu::StringPiece(word.data(), static_cast<std::int32_t>(first_bytes)))
      .toUpper(icu::Locale::getRoot())
      .toUTF8String(out);
  return out.append(word.substr(first_bytes));
}

bool is_ending(std::string_view token) {
  static constexpr std::string_view kEndings[] = {"n't", "'s", "'re", "'ve", "'ll", "'d", "'m"};
  return std::find(std::begin(kEndings), std::end(kEndings), token) != std::end(kEndings);
}

// What stands without a blank behind the word before it.
bool joins(std::string_view token) {
  return is_ending(token) || token.find_first_not_of(".,;:!?)]}%") == std::string_view::npos;
}

class Reader {
 public:
  explicit Reader(const std::vector<std::string>& tokens) : tokens_(tokens) {}

  std::string read() {
    while (at_ < tokens_.size()) step();
    return std::move(out_);
  }

 private:
  // The number behind a mark, if one stands there and something behind it.
  std::int64_t number() const {
    if (at_ + 1 >= tokens_.size()) return 0;
    const std::string& digits = tokens_[at_];
    std::int64_t n = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    return error == std::errc() && end == digits.data() + digits.size() ? n : 0;
  }

  void put(std::string_view word) {
    if (!out_.empty() && !opened_ && !joins(word)) out_ += ' ';
    out_ += word;
    opened_ = word == "(" || word == "[" || word == "{";
  }

  // The word that stands here, in the case that a mark in front of it gives.
  std::string next_word() {
    const std::string& token = tokens_[at_++];
    const bool whole = token == "xxup";
    if ((!whole && token != "xxmaj") || at_ == tokens_.size()) return token;
    const std::string& word = tokens_[at_++];
    if (word == "xxunk") return word;
    if (!whole) return upper(word, code_point_bytes(word[0]));
    std::string made = upper(word, word.size());
    if (at_ < tokens_.size() && is_ending(tokens_[at_])) {  // which was one word with it
      made += upper(tokens_[at_], tokens_[at_].size());
      ++at_;
    }
    return made;
  }

  void step() {
    const std::string& token = tokens_[at_];
    const bool repeats = token == "xxrep" || token == "xxwrep";
    if (!repeats && token != "xxbos" && token != "xxfld") return put(next_word());
    ++at_;
    if (token == "xxbos") return;
    const std::int64_t n = std::min(number(), kMostRepeats);
    if (n > 0) ++at_;
    if (!repeats) return;
    if (n <= 0) return put(token);
    const std::string what = next_word();
    std::string repeated;
    for (std::int64_t i = 0; i < n; ++i) repeated += (i > 0 && token == "xxwrep" ? " " : "") + what;
    put(repeated);
  }

  const std::vector<std::string>& tokens_;
  std::size_t at_ = 0;
  std::string out_;
  bool opened_ = false;  // by the last word
};

}  // namespace

std::string readable_text(const std::vector<std::string>& tokens) { return Reader(tokens).read(); }

std::vector<std::string> joined_pieces(const std::vector<std::string>& pieces) {
  constexpr std::string_view kBlank = "\u2581";
  std::vector<std::string> words;
  bool open = false;  // whether the last word can go on
  for (const std::string& piece : pieces) {
    const bool special = is_special_token(piece);
    const bool begins = piece.starts_with(kBlank);
    const std::string letters = begins ? piece.substr(kBlank.size()) : piece;
    if (special || begins || !open) {
      if (!letters.empty()) words.push_back(letters);
    } else {
      words.back() += letters;
    }
    open = !special && !(begins && letters.empty());
  }
  return words;
}

std::string readable_beginning(std::vector<std::string> tokens, TokenizerKind tokenizer, std::size_t most) {
  const bool cut = tokens.size() > most;
  if (cut) tokens.resize(most);
  // A mark whose word was cut off marks nothing.
  while (cut && !tokens.empty() && (tokens.back() == "xxmaj" || tokens.back() == "xxup")) tokens.pop_back();
  return readable_text(tokenizer == TokenizerKind::kSentencePiece ? joined_pieces(tokens) : tokens) + (cut ? " ..." : "");
}

}  // namespace ulmfit::text
