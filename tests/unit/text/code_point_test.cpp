#include "text/code_point.h"

#include <gtest/gtest.h>

#include <vector>

namespace ulmfit::text {
namespace {

std::string utf8(char32_t c) {
  std::string text;
  append_code_point(text, c);
  return text;
}

TEST(CodePoint, GoesThereAndBack) {
  for (const char32_t c : {0x0U, 0x41U, 0x7FU, 0x80U, 0x7FFU, 0x800U, 0xFFFFU, 0x10000U, 0x10FFFFU}) {
    EXPECT_EQ(code_point_at(utf8(c), 0), c);
    EXPECT_EQ(code_point_bytes(utf8(c)[0]), utf8(c).size());
  }
}

TEST(CodePoint, SpacesArePythonsAndBlanksAddControls) {
  int spaces = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    spaces += is_space(c) ? 1 : 0;
    const bool control = c < 0x20 || (c >= 0x7F && c <= 0x9F);
    ASSERT_EQ(is_blank(c), is_space(c) || control);
  }
  EXPECT_EQ(spaces, 29);  // as many as str.isspace() finds
  for (const char32_t c : {0x00U, 0x1BU, 0x7FU, 0x85U, 0x9FU}) EXPECT_TRUE(is_blank(c));
  for (const char32_t c : {0x200BU, 0xFEFFU, 0x180EU, 0xADU}) EXPECT_FALSE(is_space(c));
}

TEST(CodePoint, FindsAndSkipsSpaces) {
  const std::string text = "\u00E9a\u3000 \u2028b\u200Bc";
  EXPECT_EQ(find_space(text, 0), 3U);
  EXPECT_EQ(skip_spaces(text, 3), 10U);
  EXPECT_EQ(find_space(text, 10), text.size());
  EXPECT_EQ(skip_spaces(text, text.size()), text.size());
  EXPECT_TRUE(ends_in_space("a\u3000"));
  EXPECT_FALSE(ends_in_space("\u3000a"));
  EXPECT_FALSE(ends_in_space(""));
}

TEST(CodePoint, StripsBothEnds) {
  EXPECT_EQ(strip("\u00A0 \x1C a b\u2009\n"), "a b");
  EXPECT_EQ(strip(" \u3000 "), "");
  EXPECT_EQ(strip("\u200Ba"), "\u200Ba");
}

TEST(CodePoint, LowersByUnicode) {
  EXPECT_EQ(to_lower("ABC xyz 123"), "abc xyz 123");
  EXPECT_EQ(to_lower("\u0130"), "i\u0307");                                     // two code points
  EXPECT_EQ(to_lower("\u039F\u0394\u039F\u03A3"), "\u03BF\u03B4\u03BF\u03C2");  // final sigma
  EXPECT_EQ(to_lower("\u03A3"), "\u03C3");
  EXPECT_EQ(to_lower("I\u00DF\u212A"), "i\u00DFk");
}

TEST(CodePoint, SplitsAtBlanks) {
  std::vector<std::string> parts;
  split_at_blanks("\n a\u2003b\x01\u00E9\u0085", [&](std::string_view part) { parts.emplace_back(part); });
  EXPECT_EQ(parts, (std::vector<std::string>{"a", "b", "\u00E9"}));
}

}  // namespace
}  // namespace ulmfit::text
