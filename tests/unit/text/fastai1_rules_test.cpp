#include "text/fastai1_rules.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "text/code_point.h"
#include "text/rules.h"

namespace ulmfit::text {
namespace {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = skip_spaces(text, 0); at < text.size();) {
    const std::size_t end = find_space(text, at);
    words.emplace_back(text.substr(at, end - at));
    at = skip_spaces(text, end);
  }
  return words;
}

TEST(Fastai1Rules, GiveWhatFastaiV1Gives) {
  const std::map<std::string, std::string (*)(std::string_view)> rules = {{"fix_html", fastai1::fix_html},
                                                                          {"replace_rep", fastai1::replace_rep},
                                                                          {"replace_wrep", fastai1::replace_wrep},
                                                                          {"spec_add_spaces", fastai1::spec_add_spaces},
                                                                          {"rm_useless_spaces", rm_useless_spaces}};
  int cases = 0;
  for (const std::string& line : read_lines("tests/reference/text_rules_v1.jsonl")) {
    const auto record = nlohmann::json::parse(line);
    if (!record.contains("text")) continue;
    ++cases;
    const std::string text = record.at("text");
    for (const auto& [name, rule] : rules) {
      EXPECT_EQ(rule(text), record.value(name, text)) << name << " of " << record.at("text");
    }
    const std::string all = record.at("all");
    EXPECT_EQ(fastai1::apply_rules(text), all) << record.at("text");
    EXPECT_EQ(fastai1::mark_capitals(words_of(all)), record.at("tokens").get<std::vector<std::string>>()) << all;
  }
  EXPECT_GT(cases, 500);
}

}  // namespace
}  // namespace ulmfit::text
