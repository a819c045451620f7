#include "text/word_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/stopwatch.h"
#include "text/vocabulary.h"

namespace ulmfit::text {
namespace {

// The tokens with a bar between.
std::string words(std::string_view text) {
  std::vector<std::string> tokens;
  WordTokenizer().tokenize(text, tokens);
  std::string joined;
  for (const std::string& token : tokens) joined += (joined.empty() ? "" : "|") + token;
  return joined;
}

TEST(WordTokenizer, PartsWordsAndMarks) {
  EXPECT_EQ(words("The film, (a bad one) was long!"), "The|film|,|(|a|bad|one|)|was|long|!");
  EXPECT_EQ(words("well-known -- \u2026 !! \u201Cyes\u201D"), "well|-|known|-|-|\u2026|!|!|\u201C|yes|\u201D");
  EXPECT_EQ(words("  \n\t "), "");
  EXPECT_EQ(words(""), "");
}

TEST(WordTokenizer, KeepsNumbersAndNamesAsIcuDoes) {
  EXPECT_EQ(words("3.14 1,000 12:30 snake_case U.S. 5%"), "3.14|1,000|12|:|30|snake_case|U.S|.|5|%");
  EXPECT_EQ(words("jane.doe@example.org https://a.org/b"), "jane.doe@example.org|https|:|/|/|a.org|/|b");
}

TEST(WordTokenizer, PartsApostropheEndings) {
  EXPECT_EQ(words("don't can't it's we're I've they'll he'd I'm"), "do|n't|ca|n't|it|'s|we|'re|I|'ve|they|'ll|he|'d|I|'m");
  EXPECT_EQ(words("don\u2019t it\u2019s"), "do|n\u2019t|it|\u2019s");
  EXPECT_EQ(words("DON'T IT'S We'Ll"), "DO|N'T|IT|'S|We|'Ll");
  EXPECT_EQ(words("shouldn't've y'all's"), "should|n't|'ve|y'all|'s");
  EXPECT_EQ(words("1990's (it)'s"), "1990|'s|(|it|)|'s");
  EXPECT_EQ(words("o'clock O'Neil rock'n'roll don'ts"), "o'clock|O'Neil|rock'n'roll|don'ts");
  EXPECT_EQ(words("o'clock\u2019s don\u2019t've"), "o'clock|\u2019s|do|n\u2019t|'ve");
  EXPECT_EQ(words("the students' 'book' 'tis"), "the|students|'|'|book|'|'|tis");
}

TEST(WordTokenizer, LeavesPartedEndingsWhole) {
  EXPECT_EQ(words("it 's n't do n't we 're \u2019s"), "it|'s|n't|do|n't|we|'re|\u2019s");
  EXPECT_EQ(words("' s 'so 'sand"), "'|s|'|so|'|sand");
}

TEST(WordTokenizer, IsStableOnItsOwnOutput) {
  const std::string text = "don't you think it's 3.14, or \"they\u2019ve\" (maybe) shouldn't've said so?!";
  std::vector<std::string> once;
  WordTokenizer().tokenize(text, once);
  std::string joined;
  for (const std::string& token : once) joined += token + " ";
  std::vector<std::string> twice;
  WordTokenizer().tokenize(joined, twice);
  EXPECT_EQ(once, twice);
}

TEST(WordTokenizer, KeepsSpecialTokens) {
  std::string text;
  std::string expected;
  for (const std::string_view special : kSpecialTokens) {
    text += std::string(special) + " ";
    expected += (expected.empty() ? "" : "|") + std::string(special);
  }
  EXPECT_EQ(words(text), expected);
  EXPECT_EQ(words("it xxrep 3 ! xxwrep 4 good ."), "it|xxrep|3|!|xxwrep|4|good|.");
  EXPECT_EQ(words("xxunk-xxunk xxunk 's"), "xxunk|-|xxunk|xxunk|'s");
}

TEST(WordTokenizer, FindsWordsWithoutBlanks) {
  EXPECT_EQ(words("\u4ECA\u5929\u5929\u6C14\u5F88\u597D\u3002"), "\u4ECA\u5929|\u5929\u6C14|\u5F88\u597D|\u3002");
  EXPECT_EQ(words("\u6771\u4EAC\u3078\u884C\u304D\u307E\u3059"), "\u6771\u4EAC|\u3078|\u884C\u304D|\u307E\u3059");
  EXPECT_EQ(words("\u0E2A\u0E27\u0E31\u0E2A\u0E14\u0E35\u0E0A\u0E32\u0E27\u0E42\u0E25\u0E01"),
            "\u0E2A\u0E27\u0E31\u0E2A\u0E14\u0E35|\u0E0A\u0E32\u0E27|\u0E42\u0E25\u0E01");
}

TEST(WordTokenizer, KeepsClustersTogether) {
  EXPECT_EQ(words("cafe\u0301 \U0001F44D\U0001F3FD \U0001F468\u200D\U0001F469\u200D\U0001F467"),
            "cafe\u0301|\U0001F44D\U0001F3FD|\U0001F468\u200D\U0001F469\u200D\U0001F467");
}

TEST(WordTokenizer, DropsWhatIsNotSeen) {
  EXPECT_EQ(words("a\u200Bb \uFEFF \u00AD \u200D c"), "a|b|c");
  EXPECT_EQ(words("a \u0301b \u0085\u0301"), "a|\u0301|b|\u0301");  // a mark joins a blank, which is no part of a token
  EXPECT_EQ(words("a\x01"
                  "b\x7F"),
            "a|b");
}

TEST(WordTokenizer, TakesTimeInProportionToTheText) {
  const std::size_t n = 1 << 19;
  std::string quotes;
  while (quotes.size() < n) quotes += "'s";
  std::string negations = "x";
  while (negations.size() < n) negations += "n\u2019t\u2019ve";
  const Stopwatch watch;
  for (const std::string& text : {std::string(n, 'a'), std::string(n, ' '), std::string(n, '\''), quotes, negations}) {
    std::vector<std::string> tokens;
    WordTokenizer().tokenize(text, tokens);
  }
  EXPECT_LT(watch.seconds(), 30.0);
}

}  // namespace
}  // namespace ulmfit::text
