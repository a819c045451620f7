#include "text/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::text {
namespace {

using ::testing::HasSubstr;
using Tokens = std::vector<std::string>;

Tokens specials() { return Tokens(std::begin(kSpecialTokens), std::end(kSpecialTokens)); }

Tokens with(Tokens tokens, const Tokens& more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

void expect_refused(const Tokens& tokens, const std::string& message) {
  try {
    const Vocabulary vocabulary(tokens);
    FAIL() << "accepted; expected: " << message;
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
}

TEST(Vocabulary, FindsIdsAndTokens) {
  const Vocabulary vocabulary(with(specials(), {"the", "film", "xxfake", "xxfake"}));
  EXPECT_EQ(vocabulary.size(), 13);
  EXPECT_EQ(vocabulary.id("the"), 9);
  EXPECT_EQ(vocabulary.token(10), "film");
  EXPECT_EQ(vocabulary.id("unheard"), vocabulary.unk());
  EXPECT_EQ(vocabulary.id("xxfake"), vocabulary.unk());  // padding is no word
  EXPECT_FALSE(vocabulary.knows("xxfake"));
  EXPECT_TRUE(vocabulary.knows("film"));
  EXPECT_EQ(vocabulary.unk(), 0);
  EXPECT_EQ(vocabulary.bos(), 2);
  EXPECT_THROW(vocabulary.token(13), std::out_of_range);
  EXPECT_TRUE(is_special_token("xxmaj"));
  EXPECT_FALSE(is_special_token("xxfake"));
}

TEST(Vocabulary, FindsSpecialsByNameWhereverTheyStand) {
  const Vocabulary vocabulary({"the", "xxpad", "xxunk"});
  EXPECT_EQ(vocabulary.unk(), 2);
  EXPECT_EQ(vocabulary.bos(), 2);  // none: unknown
}

TEST(Vocabulary, RefusesBadTokens) {
  expect_refused(with(specials(), {"a", "b", "a"}), "\"a\" twice, as ids 9 and 11");
  expect_refused(with(specials(), {"a", ""}), "token 10 of the vocabulary is empty");
  expect_refused(with(specials(), {"a b"}), "token 9 of the vocabulary, \"a b\", holds a blank");
  for (const char* blank : {"a\tb", "a\r", "\u3000", "a\u2028b", "\u00A0", "\x7F", "\u0085"}) {
    expect_refused(with(specials(), {blank}), "holds a blank or a control character");
  }
  expect_refused(with(specials(), {"caf\xE9"}), "token 9 of the vocabulary is not valid UTF-8");
  expect_refused({"xxpad", "a"}, "lacks xxunk");
  expect_refused({"xxunk", "a"}, "lacks xxpad");
  expect_refused({}, "the vocabulary of 0 tokens lacks xxunk");
}

TEST(Vocabulary, BuildsFromTheMostCommonWords) {
  const TokenCounts counts = {{"b", 5},      {"a", 5},      {"rare", 2},   {"the", 90},
                              {"xxmaj", 70}, {"xxfake", 9}, {"\u00E9", 5}, {"B", 5}};
  const Vocabulary vocabulary = Vocabulary::build(counts, {});
  // By count, ties by bytes; specials once and in front; the padding word is no word; 14 tokens become 16.
  EXPECT_EQ(vocabulary.tokens(), with(specials(), {"the", "B", "a", "b", "\u00E9", "xxfake", "xxfake"}));
}

// fastai_settings.py: what make_vocab made, its counter filled in the order of bytes. Two differences: fastai takes a word
// "xxfake" of the text for one, and pads by 8 where the length is a multiple of 8 already.
TEST(Vocabulary, IsFastais) {
  const auto all = nlohmann::json::parse(read_file("tests/reference/fastai_settings.json"));
  for (const auto& expected : all.at("vocabularies")) {
    const auto counts = expected.at("counts").get<TokenCounts>();
    auto words = expected.at("words").get<std::vector<std::string>>();
    const auto filled = std::find_if(words.rbegin(), words.rend(), [](const auto& w) { return w != "xxfake"; }).base();
    if ((filled - words.begin()) % 8 == 0) words.erase(filled, words.end());
    EXPECT_EQ(
        Vocabulary::build(counts, {.max_words = expected.at("max_vocab"), .min_count = expected.at("min_freq")}).tokens(),
        words);
  }
  EXPECT_EQ(all.at("vocabularies").size(), 7U);
}

TEST(Vocabulary, IsExtendedByKnownWords) {
  const TokenCounts counts = {{"cow", 9}, {"dog", 2}, {"old", 1}, {"new", 5}, {"xxup", 3}};
  const Tokens known = with(specials(), {"the", "new", "old", "xxfake", "dog", "cat", "xxfake"});
  const Vocabulary extended = Vocabulary::build(counts, {}, known);
  // The text's common words, those known and seen by how often, the other known ones in their order.
  EXPECT_EQ(extended.tokens(), with(specials(), {"cow", "new", "dog", "old", "the", "cat", "xxfake"}));
  EXPECT_EQ(extended.first_known(), extended.id("dog"));
  const Vocabulary cut = Vocabulary::build(counts, {.max_words = 12}, known);
  EXPECT_EQ(cut.tokens(), with(specials(), {"cow", "new", "dog", "xxfake", "xxfake", "xxfake", "xxfake"}));
  EXPECT_EQ(cut.first_known(), cut.id("dog"));
  const Vocabulary nothing_new = Vocabulary::build(counts, {.min_count = 1}, Tokens{"cow", "xxunk", "xxfake"});
  EXPECT_EQ(nothing_new.tokens(), Vocabulary::build(counts, {.min_count = 1}).tokens());
  EXPECT_EQ(nothing_new.first_known(), nothing_new.size());
}

TEST(Vocabulary, KeepsWhatOccursOftenEnough) {
  const TokenCounts counts = {{"one", 1}, {"two", 2}, {"three", 3}};
  EXPECT_FALSE(Vocabulary::build(counts, {}).knows("two"));
  EXPECT_TRUE(Vocabulary::build(counts, {}).knows("three"));
  EXPECT_TRUE(Vocabulary::build(counts, {.min_count = 1}).knows("one"));
}

TEST(Vocabulary, IsCutToItsLimitAndPaddedToEight) {
  TokenCounts counts;
  for (int i = 0; i < 100; ++i) counts["w" + std::to_string(i)] = 1000 - i;
  const Vocabulary full = Vocabulary::build(counts, {.max_words = 32});
  EXPECT_EQ(full.size(), 32);  // a multiple of 8 already: no padding
  EXPECT_TRUE(full.knows("w22"));
  EXPECT_FALSE(full.knows("w23"));
  for (std::int64_t limit = 9; limit <= 40; ++limit) {
    const Vocabulary vocabulary = Vocabulary::build(counts, {.max_words = limit});
    EXPECT_EQ(vocabulary.size(), (limit + 7) / 8 * 8);
    EXPECT_EQ(std::count(vocabulary.tokens().begin(), vocabulary.tokens().end(), "xxfake"), vocabulary.size() - limit);
  }
  EXPECT_EQ(Vocabulary::build({}, {}).size(), 16);
}

TEST(Vocabulary, RefusesALimitBelowTheSpecials) {
  try {
    Vocabulary::build({}, {.max_words = 8});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("at most 8 words has no room for the 9 special tokens"));
  }
}

TEST(Vocabulary, MayBeLargerThanSixteenBits) {
  for (const std::int64_t size : {65536, 65537}) {
    TokenCounts counts;
    for (std::int64_t i = 9; i < size; ++i) counts["w" + std::to_string(i)] = 10'000'000 - i;
    const Vocabulary vocabulary = Vocabulary::build(counts, {.max_words = size});
    EXPECT_EQ(vocabulary.size(), (size + 7) / 8 * 8);
    EXPECT_EQ(vocabulary.id("w" + std::to_string(size - 1)), size - 1);
    EXPECT_EQ(vocabulary.token(size - 1), "w" + std::to_string(size - 1));
  }
}

TEST(Vocabulary, IsSavedOneTokenALine) {
  const test::TempDir dir;
  const Vocabulary vocabulary(with(specials(), {"caf\u00E9", "'s", "xxfake", "xxfake"}));
  vocabulary.save(dir / "vocab.txt");
  EXPECT_THAT(read_file(dir / "vocab.txt"), HasSubstr("xxmaj\ncaf\u00E9\n's\nxxfake\nxxfake\n"));
  const Vocabulary again = Vocabulary::load(dir / "vocab.txt");
  EXPECT_EQ(again.tokens(), vocabulary.tokens());
  EXPECT_EQ(again.fingerprint(), vocabulary.fingerprint());
  EXPECT_EQ(again.fingerprint(), file_fingerprint(dir / "vocab.txt"));
  EXPECT_NE(again.fingerprint(), Vocabulary(specials()).fingerprint());
}

TEST(Vocabulary, NamesTheFileItRefuses) {
  const test::TempDir dir;
  write_file_atomic(dir / "vocab.txt", "xxunk\r\nxxpad\r\n");
  try {
    Vocabulary::load(dir / "vocab.txt");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr((dir / "vocab.txt").string()));
    EXPECT_THAT(error.what(), HasSubstr("token 0"));
    EXPECT_THAT(error.what(), HasSubstr("end in LF alone"));
  }
  EXPECT_THROW(Vocabulary::load(dir / "absent.txt"), FileError);
}

}  // namespace
}  // namespace ulmfit::text
