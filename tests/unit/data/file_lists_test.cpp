#include "data/file_lists.h"

#include <gtest/gtest.h>

#include "base/hash.h"

namespace ulmfit::data {
namespace {

using nlohmann::json;

json files(int count) {
  json list = json::array();
  for (int i = 0; i < count; ++i)
    list.push_back({{"name", "page-" + std::to_string(i)}, {"bytes", 10 + i}, {"xxh3", "00"}});
  return list;
}

TEST(FileLists, AreReplacedByWhatStandsForThem) {
  const json provenance = {
      {"request", {{"inputs", files(5)}, {"unlabelled", {{{"format", "html"}, {"files", files(2)}}}}, {"seed", 3}}}};
  json lists;
  const json summarized = summarize_file_lists(provenance, &lists);
  const json inputs = {
      {"files", 5}, {"bytes", 60}, {"list", fingerprint(files(5).dump())}, {"first", {"page-0", "page-1", "page-2"}}};
  EXPECT_EQ(summarized.at("request").at("inputs"), inputs);
  EXPECT_TRUE(is_file_summary(inputs));
  EXPECT_EQ(summarized.at("request").at("unlabelled").at(0).at("files").at("files"), 2);
  EXPECT_EQ(summarized.at("request").at("seed"), 3);
  EXPECT_EQ(lists, json({{"/request/inputs", files(5)}, {"/request/unlabelled/0/files", files(2)}}));
  EXPECT_EQ(summarize_file_lists(summarized, &lists), summarized) << "once is enough";
  EXPECT_TRUE(lists.empty());
}

TEST(FileLists, AnotherListHasAnotherSummary) {
  json other = files(5);
  other.at(4).at("xxh3") = "01";
  EXPECT_NE(summarize_file_lists(json{{"inputs", files(5)}}), summarize_file_lists(json{{"inputs", other}}));
}

TEST(FileLists, WhatIsNoListOfFilesStays) {
  for (const json& same : {json::object(), json{{"inputs", json::array()}}, json{{"train", files(1).front()}},
                           json{{"labels", {"a", "b"}}}, json{{"mixed", {files(1).front(), 3}}}, json("text"), json()}) {
    EXPECT_EQ(summarize_file_lists(same), same);
    EXPECT_FALSE(is_file_summary(same));
  }
}

}  // namespace
}  // namespace ulmfit::data
