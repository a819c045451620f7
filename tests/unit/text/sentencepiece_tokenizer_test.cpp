#include "text/sentencepiece_tokenizer.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/support/sentencepiece_model.h"

namespace ulmfit::text {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Tokens = std::vector<std::string>;

const std::string& model() {
  static const std::string bytes = test::sentencepiece_model();
  return bytes;
}

Tokens pieces(std::string_view text) {
  Tokens tokens;
  SentencePieceTokenizer(model()).tokenize(text, tokens);
  return tokens;
}

TEST(SentencePieceTokenizer, GivesPiecesThatSpellTheText) {
  std::string spelled;
  for (const std::string& piece : pieces("the film  was\nbetter")) spelled += piece;
  EXPECT_EQ(spelled, "\u2581the\u2581film\u2581was\u2581better");
  EXPECT_THAT(pieces("the film"), ::testing::Contains("\u2581the"));
  EXPECT_TRUE(pieces(" \n").empty());
}

TEST(SentencePieceTokenizer, LetsSpecialTokensPass) {
  const Tokens tokens = pieces("xxbos xxmaj the film xxrep 3 ! xxunk");
  EXPECT_EQ(tokens[0], "xxbos");
  EXPECT_EQ(tokens[1], "xxmaj");
  EXPECT_EQ(tokens[2], "\u2581the");
  EXPECT_EQ(tokens.back(), "xxunk");
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), "xxrep"), 1);
  EXPECT_THAT(pieces("xxbosx")[0], StartsWith("\u2581"));  // only as a word of its own
}

TEST(SentencePieceTokenizer, HoldsNoBlankEvenUnderAModelThatKeepsThem) {
  const SentencePieceTokenizer identity(
      test::sentencepiece_model("--normalization_rule_name=identity --remove_extra_whitespaces=false"));
  Tokens tokens;
  identity.tokenize("the\tfilm\u3000was\u00A0good\x01the\n\nfilm", tokens);
  std::string spelled;
  for (const std::string& token : tokens) spelled += token;
  EXPECT_EQ(spelled, "\u2581the\u2581film\u2581was\u2581good\u2581the\u2581film");
}

TEST(SentencePieceTokenizer, RefusesWhatIsNoModel) {
  for (const std::string& bad : {std::string(), std::string("not a model"), model().substr(0, model().size() / 2)}) {
    try {
      const SentencePieceTokenizer tokenizer(bad);
      FAIL() << bad.size();
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(),
                  HasSubstr("cannot read a SentencePiece model from " + std::to_string(bad.size()) + " bytes"));
      EXPECT_THAT(error.what(), HasSubstr("spm_train"));
    }
  }
}

TEST(SentencePieceTokenizer, RefusesAModelWithBlanksInItsPieces) {
  // The trainer writes no such model, other programs do: protocol buffers are merged when their bytes are joined, here with
  // {normalizer_spec (3): {escape_whitespaces (5): false}}.
  const std::string unescaped = model() + std::string("\x1A\x02\x28\x00", 4);
  try {
    const SentencePieceTokenizer tokenizer(unescaped);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("leaves blanks in its pieces"));
  }
}

}  // namespace
}  // namespace ulmfit::text
