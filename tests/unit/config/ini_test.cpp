#include "config/ini.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace ulmfit::config {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::string failure(const std::string& text) {
  try {
    read_ini(text, "c.cfg");
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Ini, ReadsSectionsInTheirOrderAndThoseOfOneNameApart) {
  const auto sections = read_ini("top = 1\n[a] # first\nx = 1\n# nothing\n\n[a]\r\nx = 2 # two\r\ny=\n[b.c]\n", "c.cfg");
  ASSERT_EQ(sections.size(), 4U);
  EXPECT_EQ(sections[0].name, "");
  EXPECT_THAT(sections[0].values, ElementsAre(Pair("top", "1")));
  EXPECT_EQ(sections[1].name, "a");
  EXPECT_THAT(sections[1].values, ElementsAre(Pair("x", "1")));
  EXPECT_EQ(sections[2].name, "a");
  EXPECT_THAT(sections[2].values, ElementsAre(Pair("x", "2"), Pair("y", "")));
  EXPECT_EQ(sections[3].name, "b.c");
  EXPECT_TRUE(read_ini("", "c.cfg").empty());
}

TEST(Ini, AQuotedValueMayHoldAnything) {
  const auto sections =
      read_ini("a = \"x # y\"  # comment\nb=\" \\\"q\\\" \\\\ \\n\"\nc = say \"no\"\n# d = \"\n", "c.cfg");
  ASSERT_EQ(sections.size(), 1U);
  EXPECT_THAT(sections[0].values, ElementsAre(Pair("a", "x # y"), Pair("b", " \"q\" \\ \n"), Pair("c", "say \"no\"")));
}

TEST(Ini, WritesAValueAsItIsWhereItCan) {
  EXPECT_EQ(ini_value("runs/my model \\ [1]"), "runs/my model \\ [1]");
  EXPECT_EQ(ini_value(""), "");
  EXPECT_EQ(ini_value("a#b"), "\"a#b\"");
  EXPECT_EQ(ini_value(" a"), "\" a\"");
}

TEST(Ini, RefusesWithFileAndLine) {
  EXPECT_THAT(failure("[a]\nx = \"open\n"), AllOf(HasSubstr("c.cfg, line 2"), HasSubstr("never closed")));
  EXPECT_THAT(failure("x = \"a\" b\n"), HasSubstr("text behind a closing quote"));
  EXPECT_THAT(failure("x = \"a\\t\"\n"), HasSubstr("unknown escape \\t"));
  EXPECT_THAT(failure("[a]\nno equals sign\n"), AllOf(HasSubstr("c.cfg, line 2"), HasSubstr("no equals sign")));
}

}  // namespace
}  // namespace ulmfit::config
