#include "data_prep/json_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::vector<std::string> values(std::string_view line, const std::vector<std::string>& names) {
  const JsonFields fields = json_fields(line, names);
  EXPECT_TRUE(fields.is_object) << line;
  EXPECT_EQ(fields.defect, "") << line;
  return fields.values;
}

std::string defect(std::string_view line, bool is_object) {
  const JsonFields fields = json_fields(line, {"text"});
  EXPECT_EQ(fields.is_object, is_object) << line;
  EXPECT_TRUE(fields.values.empty()) << line;
  return fields.defect;
}

TEST(JsonFields, AreGivenInTheOrderOfTheNames) {
  EXPECT_THAT(values(R"( {"a": "x", "b": "y\u00e9\n", "c": {"a": "inner"}, "d": [{"b": 1}]} )", {"b", "a", "b"}),
              ElementsAre("y\xC3\xA9\n", "x", "y\xC3\xA9\n"));
  EXPECT_THAT(values(R"({"a": "first", "a": "last"})", {"a"}), ElementsAre("last"));
  EXPECT_THAT(values(R"({"a": [], "a": "last"})", {"a"}), ElementsAre("last"));
  EXPECT_THAT(values("{}", {}), ElementsAre());
}

TEST(JsonFields, ScalarsAreTextAsTheyAreWritten) {
  EXPECT_THAT(values(R"({"a": null, "b": true, "c": false, "d": -7, "e": 1.50, "f": 1E3})", {"a", "b", "c", "d", "e", "f"}),
              ElementsAre("", "true", "false", "-7", "1.50", "1E3"));
  EXPECT_THAT(values(R"({"id": 18446744073709551617, "low": -9223372036854775809})", {"id", "low"}),
              ElementsAre("18446744073709551617", "-9223372036854775809"));
}

TEST(JsonFields, StringsAreCleaned) { EXPECT_THAT(values(R"({"a": "one\r\ntwo\u0000"})", {"a"}), ElementsAre("one\ntwo")); }

TEST(JsonFields, WhatIsNoObjectIsTold) {
  for (const char* line : {"", "[1]", "\"text\"", "5", "{", "{\"text\": \"a\"} x", "{\"text\": \"a\",}", "{'text': 1}",
                           "{\"text\": \"\xFF\"}", "[{\"text\": \"a\"}]", "null"}) {
    EXPECT_THAT(defect(line, false), StartsWith("not one JSON object")) << line;
  }
}

TEST(JsonFields, WhyALineCannotBeReadIsTold) {
  EXPECT_THAT(defect(R"({"text": "a \ud83d b"})", false), AllOf(HasSubstr("column 19"), HasSubstr("surrogate")));
  EXPECT_THAT(defect(R"({"text": "a", "n": NaN})", false), HasSubstr("column 20"));
  EXPECT_THAT(defect(R"({"text": "secret", })", false), Not(HasSubstr("secret")));
}

TEST(JsonFields, ANulIsNotTheEndOfTheLine) {
  using namespace std::string_view_literals;
  EXPECT_EQ(defect("{\"text\":\"a\"}\0 behind}"sv, false), "not one JSON object");
  EXPECT_EQ(defect("{\"text\":\"a\"}\0"sv, false), "not one JSON object");
}

TEST(JsonFields, ANumberBeyondADoubleIsTold) {
  EXPECT_EQ(defect(R"({"text": "a", "n": 1e999})", false), "a number is larger than a double can be");
}

TEST(JsonFields, AMissingFieldIsToldWithThoseThatAreThere) {
  EXPECT_EQ(defect(R"({"a": {"text": 1}, "b": [2]})", true), "no field \"text\": the object has \"a\", \"b\"");
  EXPECT_EQ(defect("{}", true), "no field \"text\": the object has none");
  EXPECT_THAT(defect(R"({"text": {"deep": 1}})", true), HasSubstr("\"text\" is an array or an object"));
  std::string many = "{";
  for (int i = 0; i < 1000; ++i) many += (i == 0 ? "\"f" : ",\"f") + std::to_string(i) + "\":0";
  EXPECT_THAT(defect(many + "}", true), AllOf(HasSubstr("\"f19\" ..."), Not(HasSubstr("f20"))));
}

TEST(JsonFields, NestingCostsNoStackAndIsLimited) {
  const auto nested = [](int levels, std::string_view open, std::string_view close) {
    std::string line = R"({"text": "a", "x": )";
    for (int i = 0; i < levels; ++i) line += open;
    line += "1";
    for (int i = 0; i < levels; ++i) line += close;
    return line + "}";
  };
  EXPECT_THAT(values(nested(kMaxJsonDepth - 1, "[", "]"), {"text"}), ElementsAre("a"));
  EXPECT_THAT(values(nested(kMaxJsonDepth - 1, "{\"y\":", "}"), {"text"}), ElementsAre("a"));
  EXPECT_EQ(defect(nested(kMaxJsonDepth, "[", "]"), false), "nested deeper than 512 levels");
  EXPECT_EQ(defect(nested(200'000, "{\"y\":", "}"), false), "nested deeper than 512 levels");
  EXPECT_EQ(defect(std::string(1'000'000, '['), false), "not one JSON object");
}

}  // namespace
}  // namespace ulmfit::data_prep
