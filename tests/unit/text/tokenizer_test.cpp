#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "text/code_point.h"

namespace ulmfit::text {
namespace {

std::vector<std::string> tokens_of(TokenizerKind kind, std::string_view text) {
  std::vector<std::string> tokens;
  make_tokenizer(kind)->tokenize(text, tokens);
  return tokens;
}

TEST(WhitespaceTokenizer, SplitsAtUnicodeBlanksAndControls) {
  EXPECT_EQ(tokens_of(TokenizerKind::kWhitespace,
                      "  a,b\tc\u3000d\u0085e\x01"
                      "f \u200Bg\n"),
            (std::vector<std::string>{"a,b", "c", "d", "e", "f", "\u200Bg"}));
  EXPECT_TRUE(tokens_of(TokenizerKind::kWhitespace, " \n ").empty());
  EXPECT_TRUE(tokens_of(TokenizerKind::kWhitespace, "").empty());
}

TEST(WhitespaceTokenizer, GivesBackItsTokens) {
  const std::vector<std::string> tokens = {"xxbos", "it", "'s", "3.14", "\u4E2D\u6587", "\U0001F600"};
  std::string text;
  for (const std::string& token : tokens) text += token + " ";
  EXPECT_EQ(tokens_of(TokenizerKind::kWhitespace, text), tokens);
}

TEST(Tokenizer, AppendsAndKeepsWhatIsThere) {
  std::vector<std::string> tokens = {"first"};
  make_tokenizer(TokenizerKind::kWords)->tokenize("second", tokens);
  make_tokenizer(TokenizerKind::kWhitespace)->tokenize("third", tokens);
  EXPECT_EQ(tokens, (std::vector<std::string>{"first", "second", "third"}));
}

TEST(Tokenizer, NoTokenIsEmptyOrHoldsABlank) {
  std::mt19937 random(11);
  const std::vector<std::string> pieces = {
      "a",      "B",      "9",          ".",          "'",      "\u2019", "s",      "nt",     "_",
      "-",      " ",      "\n",         "\t",         "\u00A0", "\u3000", "\u2028", "\u0085", "\x01",
      "\x7F",   "\u200B", "\uFEFF",     "\u00AD",     "\u0301", "\u200D", "\u4E2D", "\u30BF", "\u0E01",
      "\u0E32", "\u0627", "\U0001F469", "\U0001F3FD", "\uFE0F", "\u0600", "\u1680", "\uFFFD", "\U0010FFFF"};
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (std::size_t n = random() % 12; n > 0; --n) text += pieces[random() % pieces.size()];
    for (const auto kind : {TokenizerKind::kWords, TokenizerKind::kWhitespace}) {
      std::string joined;
      for (const std::string& token : tokens_of(kind, text)) {
        ASSERT_FALSE(token.empty());
        for (std::size_t at = 0; at < token.size(); at += code_point_bytes(token[at])) {
          ASSERT_FALSE(is_blank(code_point_at(token, at))) << name_in(kTokenizerKinds, kind) << " of " << text;
        }
        joined += token;
      }
      if (kind == TokenizerKind::kWords) continue;
      std::string solid;  // nothing but blanks is lost
      split_at_blanks(text, [&](std::string_view part) { solid += part; });
      ASSERT_EQ(joined, solid);
    }
  }
}

}  // namespace
}  // namespace ulmfit::text
