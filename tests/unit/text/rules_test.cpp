#include "text/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unicode/uchar.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/stopwatch.h"
#include "text/code_point.h"

namespace ulmfit::text {
namespace {

using Rule = std::string (*)(std::string_view);

const std::map<std::string, Rule>& rules_by_name() {
  static const std::map<std::string, Rule> rules = {{"fix_html", fix_html},
                                                    {"replace_rep", replace_rep},
                                                    {"replace_wrep", replace_wrep},
                                                    {"spec_add_spaces", spec_add_spaces},
                                                    {"rm_useless_spaces", rm_useless_spaces},
                                                    {"replace_all_caps", replace_all_caps},
                                                    {"replace_maj", replace_maj},
                                                    {"lowercase", lowercase}};
  return rules;
}

std::vector<nlohmann::json> reference() {
  std::vector<nlohmann::json> records;
  for (const std::string& line : read_lines("tests/reference/text_rules.jsonl")) {
    records.push_back(nlohmann::json::parse(line));
  }
  return records;
}

TEST(Rules, GiveWhatFastaiGives) {
  int cases = 0;
  for (const nlohmann::json& record : reference()) {
    if (!record.contains("text")) continue;
    ++cases;
    const std::string text = record.at("text");
    for (const auto& [name, rule] : rules_by_name()) {
      EXPECT_EQ(rule(text), record.value(name, text)) << name << " of " << record.at("text");
    }
    EXPECT_EQ(apply_fastai_rules(text), record.at("all").get<std::string>()) << record.at("text");
  }
  EXPECT_GT(cases, 500);
}

TEST(Rules, WordCharactersArePythons) {
  const auto records = reference();
  const int unicode_major = std::stoi(records.at(0).at("unicode").get<std::string>());
  const std::vector<char32_t> ranges = [&] {
    const auto numbers = records.at(1).at("word_ranges").get<std::vector<std::uint32_t>>();
    return std::vector<char32_t>(numbers.begin(), numbers.end());
  }();
  std::size_t range = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    while (range < ranges.size() && ranges[range + 1] < c) range += 2;
    const bool expected = range < ranges.size() && ranges[range] <= c;
    UVersionInfo age;
    u_charAge(static_cast<UChar32>(c), age);
    if (age[0] > unicode_major) continue;  // not assigned yet where the ranges were made
    ASSERT_EQ(is_word_character(c), expected) << std::hex << static_cast<std::uint32_t>(c);
  }
}

TEST(Rules, FollowTheDocumentedExamples) {
  EXPECT_EQ(apply_fastai_rules("I LOVE it!!! ... good good good good."),
            "xxbos i xxup love it xxrep 3 ! \u2026 xxwrep 4 good .");
  EXPECT_EQ(apply_fastai_rules("AAAA BBB (HELLO)"), "xxbos xxrep 4 a xxrep 3 b (hello)");
  EXPECT_EQ(apply_fastai_rules(""), "xxbos ");
}

TEST(Rules, TakeTimeInProportionToTheText) {
  // Long runs of one thing are where a scanner that starts anew at each place would need minutes.
  const std::size_t n = 1 << 20;
  std::string words;
  while (words.size() < n) words += "ab ";
  std::string entities;
  while (entities.size() < n) entities += "&am";
  const std::string texts[] = {std::string(n, ' '),
                               std::string(n, '\n'),
                               std::string(n, 'A'),
                               std::string(n, '&'),
                               std::string(n, '.'),
                               words,
                               entities,
                               "&#" + std::string(n, '9'),
                               "a" + std::string(n, '\t') + "a"};
  const Stopwatch watch;
  for (const std::string& text : texts) EXPECT_THAT(apply_fastai_rules(text), ::testing::StartsWith("xxbos "));
  EXPECT_LT(watch.seconds(), 30.0);
}

}  // namespace
}  // namespace ulmfit::text
