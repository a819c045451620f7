#include "text/code_point.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/error.h"

namespace ulmfit::text {
namespace {

char32_t tail_bits(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]) & 0x3FU; }

// By first byte: whether white space may start there. Beyond ASCII that is U+0085 and U+00A0, U+1680, U+2000 to U+205F,
// U+3000.
constexpr auto kMayBeSpace = [] {
  std::array<bool, 256> table{};
  for (unsigned byte = 0; byte < 0x80; ++byte) table[byte] = is_space(byte);
  for (const unsigned byte : {0xC2U, 0xE1U, 0xE2U, 0xE3U}) table[byte] = true;
  return table;
}();

bool is_space_at(std::string_view text, std::size_t at) {
  return kMayBeSpace[static_cast<unsigned char>(text[at])] &&
         (is_ascii(text[at]) || is_space(wide_code_point_at(text, at)));
}

std::size_t last_code_point(std::string_view text) {
  std::size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) --at;
  return at;
}

constexpr auto kAsciiWord = [] {
  std::array<bool, 128> table{};
  for (unsigned c = 0; c < 128; ++c) {
    table[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }
  return table;
}();

std::string to_lower_beyond_ascii(std::string_view text) {
  std::string lower;
  icu::StringByteSink<std::string> sink(&lower, static_cast<std::int32_t>(text.size()));
  UErrorCode status = U_ZERO_ERROR;
  icu::CaseMap::utf8ToLower("", 0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr,
                            status);
  if (U_FAILURE(status))
    throw DataError(str("cannot lower the case of a text of ", text.size(), " bytes: ", u_errorName(status)));
  return lower;
}

// Whether some character has the property `mine` and none has `other` or is in title case.
bool all_cased(std::string_view text, UProperty mine, UProperty other) {
  bool cased = false;
  for (std::size_t at = 0; at < text.size(); at += code_point_bytes(text[at])) {
    const auto code = static_cast<UChar32>(code_point_at(text, at));
    if (u_hasBinaryProperty(code, other) || u_charType(code) == U_TITLECASE_LETTER) return false;
    cased = cased || u_hasBinaryProperty(code, mine);
  }
  return cased;
}

}  // namespace

char32_t wide_code_point_at(std::string_view text, std::size_t at) {
  const char32_t first = static_cast<unsigned char>(text[at]);
  switch (code_point_bytes(text[at])) {
    case 2:
      return (first & 0x1FU) << 6 | tail_bits(text, at + 1);
    case 3:
      return (first & 0x0FU) << 12 | tail_bits(text, at + 1) << 6 | tail_bits(text, at + 2);
    default:
      return (first & 0x07U) << 18 | tail_bits(text, at + 1) << 12 | tail_bits(text, at + 2) << 6 | tail_bits(text, at + 3);
  }
}

void append_code_point(std::string& text, char32_t c) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xC0U | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xE0U | c >> 12);
    } else {
      put(0xF0U | c >> 18);
      put(0x80U | (c >> 12 & 0x3FU));
    }
    put(0x80U | (c >> 6 & 0x3FU));
  }
  put(0x80U | (c & 0x3FU));
}

bool is_word_character(char32_t c) {
  if (c < 0x80) return kAsciiWord[c];
  const auto code = static_cast<UChar32>(c);
  return (U_GET_GC_MASK(code) & U_GC_L_MASK) != 0 || u_getIntPropertyValue(code, UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}

std::size_t find_space(std::string_view text, std::size_t at) {
  // Single steps will do: no later byte of a code point is one that kMayBeSpace knows.
  while (at < text.size() && !is_space_at(text, at)) ++at;
  return at;
}

std::size_t skip_spaces(std::string_view text, std::size_t at) {
  while (at < text.size() && is_space_at(text, at)) at += code_point_bytes(text[at]);
  return at;
}

bool ends_in_space(std::string_view text) { return !text.empty() && is_space_at(text, last_code_point(text)); }

std::string_view strip(std::string_view text) {
  text.remove_prefix(skip_spaces(text, 0));
  while (ends_in_space(text)) text = text.substr(0, last_code_point(text));
  return text;
}

std::string to_lower(std::string_view text) {
  if (!std::all_of(text.begin(), text.end(), is_ascii)) return to_lower_beyond_ascii(text);
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  return lower;
}

bool is_upper_case(std::string_view text) { return all_cased(text, UCHAR_UPPERCASE, UCHAR_LOWERCASE); }

bool is_lower_case(std::string_view text) { return all_cased(text, UCHAR_LOWERCASE, UCHAR_UPPERCASE); }

}  // namespace ulmfit::text
