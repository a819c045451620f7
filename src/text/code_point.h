// Code points of valid UTF-8, and the classes of characters that text rules and tokenizers ask for. `at` is a byte offset
// below text.size(), at the first byte of a code point.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ulmfit::text {

// Bytes of the code point that starts with this byte.
constexpr std::size_t code_point_bytes(char first) noexcept {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

constexpr bool is_ascii(char byte) noexcept { return static_cast<unsigned char>(byte) < 0x80; }

char32_t wide_code_point_at(std::string_view text, std::size_t at);  // one that is not ASCII
inline char32_t code_point_at(std::string_view text, std::size_t at) {
  return is_ascii(text[at]) ? static_cast<unsigned char>(text[at]) : wide_code_point_at(text, at);
}
void append_code_point(std::string& text, char32_t code_point);  // a Unicode scalar value

// What Python's str.isspace() and \s in its regular expressions take for white space: Unicode's White_Space and U+001C to
// U+001F.
constexpr bool is_space(char32_t c) noexcept {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

// White space or a control character: what no token may hold.
constexpr bool is_blank(char32_t c) noexcept { return is_space(c) || c < 0x20 || (c >= 0x7F && c < 0xA0); }

// What \w in Python's regular expressions takes: letters, everything with a numeric value, and the underscore.
bool is_word_character(char32_t c);

// Offset of the first white space (is_space) at or after `at`; text.size() if there is none.
std::size_t find_space(std::string_view text, std::size_t at);
// Offset of the first code point at or after `at` that is no white space.
std::size_t skip_spaces(std::string_view text, std::size_t at);
bool ends_in_space(std::string_view text);  // false for an empty text
// Without white space at both ends, as Python's str.strip().
std::string_view strip(std::string_view text);

// Unicode lower case with the mappings that need several code points and the final sigma, as Python's str.lower().
std::string to_lower(std::string_view text);

// Python's str.isupper() and str.islower(): no cased character is of another case, and one is of this.
bool is_upper_case(std::string_view text);
bool is_lower_case(std::string_view text);

// Calls use(part) for each longest part of `text` without a blank (is_blank).
template <class Use>
void split_at_blanks(std::string_view text, Use use) {
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = at + code_point_bytes(text[at]);
    if (is_blank(code_point_at(text, at))) {
      if (begin < at) use(text.substr(begin, at - begin));
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) use(text.substr(begin));
}

}  // namespace ulmfit::text
