#include "text/utf8.h"

#include <gtest/gtest.h>

#include <random>

#include "text/code_point.h"

namespace ulmfit::text {
namespace {

using namespace std::string_literals;

struct Cleaned {
  std::string text;
  CleanCounts counts;
};

Cleaned clean(std::string_view bytes) {
  Cleaned result;
  result.text = clean_utf8(bytes, result.counts);
  return result;
}

TEST(CleanUtf8, LeavesValidTextAlone) {
  const std::string text = "plain ASCII, tab\t, newline\n, \u00E9 \u20AC \u4E2D \U0001F600 \U0010FFFF \uFFFD \x7F \x01";
  const Cleaned cleaned = clean(text);
  EXPECT_EQ(cleaned.text, text);
  EXPECT_EQ(cleaned.counts.invalid_utf8 + cleaned.counts.nul_bytes + cleaned.counts.carriage_returns, 0U);
  EXPECT_EQ(cleaned.counts.byte_order_marks, 0U);
  EXPECT_EQ(clean("").text, "");
}

TEST(CleanUtf8, MakesLineEndsLf) {
  const Cleaned cleaned = clean("a\r\nb\rc\nd\r\r\ne\r");
  EXPECT_EQ(cleaned.text, "a\nb\nc\nd\n\ne\n");
  EXPECT_EQ(cleaned.counts.carriage_returns, 5U);
}

TEST(CleanUtf8, RemovesNulWhereverItStands) {
  for (std::size_t at = 0; at < 20; ++at) {  // every place of an eight-byte word
    std::string bytes(20, 'x');
    bytes[at] = '\0';
    const Cleaned cleaned = clean(bytes);
    EXPECT_EQ(cleaned.text, std::string(19, 'x')) << at;
    EXPECT_EQ(cleaned.counts.nul_bytes, 1U);
  }
}

TEST(CleanUtf8, RemovesLeadingByteOrderMarksOnly) {
  EXPECT_EQ(clean("\uFEFFa\uFEFFb").text, "a\uFEFFb");
  EXPECT_EQ(clean("\uFEFFa").counts.byte_order_marks, 1U);
  EXPECT_EQ(clean("\0\uFEFF\uFEFFa"s).text, "a");
  EXPECT_EQ(clean("\0\uFEFF\uFEFFa"s).counts.byte_order_marks, 2U);
}

TEST(CleanUtf8, ReplacesEachMaximalSubpartOnce) {
  struct Case {
    std::string bytes;
    std::string text;
    std::uint64_t invalid;
  };
  // The first three are tables 3-8, 3-9 and 3-11 of the Unicode standard, version 15.
  const Case cases[] = {
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA", 8},
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA", 8},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "\uFFFD\uFFFD\uFFFD\uFFFDA", 4},
      {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA\uFFFD\uFFFDB", 7},
      {"caf\xE9", "caf\uFFFD", 1},          // Latin-1
      {"\xF0\x9F\x98", "\uFFFD", 1},        // cut off at the end
      {"\xE4\xB8\x0D\x0A", "\uFFFD\n", 1},  // cut off by a line end
      {"a\xC3\x28", "a\uFFFD(", 1},
      {"\xF8\x88\x80\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD", 5},
  };
  for (const Case& c : cases) {
    const Cleaned cleaned = clean(c.bytes);
    EXPECT_EQ(cleaned.text, c.text);
    EXPECT_EQ(cleaned.counts.invalid_utf8, c.invalid) << c.text;
  }
}

TEST(CleanUtf8, EveryCodePointPassesAndNoSurrogateDoes) {
  for (char32_t c = 1; c < 0x110000; ++c) {
    std::string bytes = "x";
    append_code_point(bytes, c);
    const bool surrogate = c >= 0xD800 && c < 0xE000;
    const Cleaned cleaned = clean(bytes);
    ASSERT_EQ(cleaned.counts.invalid_utf8, surrogate ? 3U : 0U) << std::hex << static_cast<std::uint32_t>(c);
    if (!surrogate && c != '\r') {
      ASSERT_EQ(cleaned.text, bytes);
      ASSERT_EQ(code_point_at(cleaned.text, 1), c);
    }
  }
}

TEST(CleanUtf8, IsIdempotentOnAnyBytes) {
  std::mt19937 random(7);
  const std::string alphabet = "a\r\n\0\x80\xBF\xC2\xE0\xE4\xEF\xBB\xF0\x9F\xF4\xFF"s;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes;
    for (std::size_t n = random() % 24; n > 0; --n) bytes.push_back(alphabet[random() % alphabet.size()]);
    const std::string once = clean(bytes).text;
    const Cleaned twice = clean(once);
    ASSERT_EQ(twice.text, once);
    ASSERT_EQ(once.find('\0'), std::string::npos);
    ASSERT_EQ(once.find('\r'), std::string::npos);
    ASSERT_NE(once.substr(0, 3), "\uFEFF");
  }
}

TEST(CleanCounts, Add) {
  CleanCounts sum{1, 2, 3, 4};
  sum += CleanCounts{10, 20, 30, 40};
  EXPECT_EQ(sum.invalid_utf8, 11U);
  EXPECT_EQ(sum.nul_bytes, 22U);
  EXPECT_EQ(sum.carriage_returns, 33U);
  EXPECT_EQ(sum.byte_order_marks, 44U);
  CleanCounts counts;
  clean_utf8("\xFF", counts);
  clean_utf8("\xFF\r", counts);
  EXPECT_EQ(counts.invalid_utf8, 2U);  // added to, not overwritten
}

}  // namespace
}  // namespace ulmfit::text
