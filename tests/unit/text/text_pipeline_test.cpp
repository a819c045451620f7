#include "text/text_pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "tests/support/sentencepiece_model.h"

namespace ulmfit::text {
namespace {

using ::testing::HasSubstr;
using Tokens = std::vector<std::string>;

TextOptions sentencepiece_options() {
  return {.tokenizer = TokenizerKind::kSentencePiece, .sentencepiece_model = test::sentencepiece_model()};
}

std::vector<TextOptions> all_options() {
  std::vector<TextOptions> options;
  for (const TextRules rules : {TextRules::kFastai, TextRules::kFastai1, TextRules::kNone}) {
    options.push_back({.tokenizer = TokenizerKind::kWords, .rules = rules});
    options.push_back({.tokenizer = TokenizerKind::kWhitespace, .rules = rules});
    options.push_back(sentencepiece_options());
    options.back().rules = rules;
  }
  return options;
}

void expect_refused(const nlohmann::json& json, const std::string& message) {
  try {
    TextPipeline::from_json(json);
    FAIL() << "accepted; expected: " << message;
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
}

TEST(TextPipeline, CleansRulesAndSplits) {
  const TextPipeline words({});
  EXPECT_EQ(words.tokenize("\uFEFFI LOVED it!!!\r\nIt WASN'T caf\xE9 <br />\\n 3.14"),
            (Tokens{"xxbos", "i", "xxup", "loved", "it", "xxrep", "3", "!", "xxmaj", "it", "xxup", "was", "n't", "caf",
                    "\uFFFD", "3.14"}));
  const TextPipeline plain({.tokenizer = TokenizerKind::kWhitespace, .rules = TextRules::kNone});
  EXPECT_EQ(plain.tokenize("I LOVED it!!!\r\n"), (Tokens{"xxbos", "I", "LOVED", "it!!!"}));
}

TEST(TextPipeline, BeginsEachDocumentWithXxbos) {
  for (const TextOptions& options : all_options()) {
    const TextPipeline pipeline(options);
    for (const char* document : {"", " ", "\n", "a", "\u0301", "The Film", "'s", "\uFEFF", "\x01", "\xFF"}) {
      const Tokens tokens = pipeline.tokenize(document);
      ASSERT_FALSE(tokens.empty());
      EXPECT_EQ(tokens[0], "xxbos");
      EXPECT_EQ(std::count(tokens.begin(), tokens.end(), "xxbos"), 1);
    }
    EXPECT_EQ(pipeline.tokenize("").size(), 1U);
  }
}

TEST(TextPipeline, GoesThroughJson) {
  for (const TextOptions& options : all_options()) {
    const TextPipeline pipeline(options);
    const std::string written = pipeline.to_json().dump();
    const TextPipeline again = TextPipeline::from_json(nlohmann::json::parse(written));
    EXPECT_EQ(again.options().tokenizer, options.tokenizer);
    EXPECT_EQ(again.options().rules, options.rules);
    EXPECT_EQ(again.options().sentencepiece_model, options.sentencepiece_model);
    EXPECT_EQ(again.fingerprint(), pipeline.fingerprint());
    EXPECT_EQ(again.to_json().dump(), written);
    EXPECT_EQ(again.tokenize("The film wasn't good."), pipeline.tokenize("The film wasn't good."));
  }
}

TEST(TextPipeline, JsonSaysWhatDecidesTheTokens) {
  const nlohmann::json json = TextPipeline({}).to_json();
  EXPECT_EQ(json.at("tokenizer"), "words");
  EXPECT_EQ(json.at("rules"), "fastai 2.8.12");
  EXPECT_FALSE(json.at("icu").get<std::string>().empty());
  EXPECT_GE(json.at("samples").size(), 5U);
  EXPECT_FALSE(json.contains("sentencepiece_model"));
}

TEST(TextPipeline, RefusesJsonThatGivesOtherTokens) {
  nlohmann::json json = TextPipeline({}).to_json();
  json["samples"][1]["tokens"][2] = "changed";
  json["icu"] = "99.1";
  expect_refused(json, "the sample \"Mail me: jane.doe@example.org");
  expect_refused(json, "written with ICU 99.1, this program runs with ICU ");
  expect_refused(json, "changed");
}

TEST(TextPipeline, RefusesDamagedJson) {
  const nlohmann::json good = TextPipeline(sentencepiece_options()).to_json();
  for (const char* key : {"tokenizer", "rules", "icu", "samples", "sentencepiece_model"}) {
    nlohmann::json json = good;
    json.erase(key);
    expect_refused(json, std::string("cannot read \"") + key + "\"");
    json[key] = 7;
    expect_refused(json, std::string("cannot read \"") + key + "\"");
  }
  for (const char* key : {"text", "tokens"}) {
    nlohmann::json json = good;
    json["samples"][0].erase(key);
    expect_refused(json, std::string("cannot read \"") + key + "\"");
  }
  nlohmann::json json = good;
  json["samples"] = nlohmann::json::array();
  expect_refused(json, "\"samples\" is empty");
  json = good;
  json["tokenizer"] = "moses";
  expect_refused(json, "there is no tokenizer \"moses\"");
  json = good;
  json["rules"] = "fastai 1.0";
  expect_refused(json, "the text rules \"fastai 1.0\" are not known");
  for (const char* hex : {"0", "0g", "zz", "00 0"}) {
    json = good;
    json["sentencepiece_model"] = hex;
    expect_refused(json, "sentencepiece_model holds no pair of hexadecimal digits");
  }
  json = good;
  json["sentencepiece_model"] = "00ff";
  expect_refused(json, "cannot read a SentencePiece model from 2 bytes");
  for (const char* text : {"null", "[]", "\"text\"", "{}"})
    expect_refused(nlohmann::json::parse(text), "cannot read \"tokenizer\"");
}

TEST(TextPipeline, FingerprintsTellPipelinesApart) {
  std::vector<std::string> seen;
  for (const TextOptions& options : all_options()) {
    const std::string print = TextPipeline(options).fingerprint();
    EXPECT_THAT(seen, ::testing::Not(::testing::Contains(print)));
    seen.push_back(print);
  }
  TextOptions other = sentencepiece_options();
  other.sentencepiece_model = test::sentencepiece_model("--model_type=char");
  EXPECT_THAT(seen, ::testing::Not(::testing::Contains(TextPipeline(other).fingerprint())));
}

TEST(TextPipeline, MayBeCalledFromManyThreads) {
  const char* const documents[] = {
      "The film WASN'T bad, it's 3.14 times better!!!", "\u4ECA\u5929\u5929\u6C14\u5F88\u597D\u3002 very very very",
      "\u039F\u0394\u039F\u03A3 &amp; \u0130stanbul\u2019s \U0001F44D\U0001F3FD", "the film was not good at all"};
  for (const TextOptions& options : all_options()) {
    const TextPipeline pipeline(options);
    std::vector<Tokens> expected;
    for (const char* document : documents) expected.push_back(pipeline.tokenize(document));
    std::vector<int> wrong(4, 0);
    {
      std::vector<std::jthread> threads;
      for (std::size_t t = 0; t < wrong.size(); ++t) {
        threads.emplace_back([&, t] {
          for (std::size_t i = 0; i < 200; ++i)
            wrong[t] += pipeline.tokenize(documents[(i + t) % 4]) == expected[(i + t) % 4] ? 0 : 1;
        });
      }
    }
    EXPECT_EQ(wrong, std::vector<int>(4, 0));
  }
}

TEST(TextPipeline, RefusesADocumentBeyondItsLimit) {
  const std::string huge((std::size_t{1} << 28) + 1, 'a');
  try {
    TextPipeline({}).tokenize(huge);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("a document of 268435457 bytes; the longest is 268435456"));
  }
}

}  // namespace
}  // namespace ulmfit::text
