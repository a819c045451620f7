#include "text/html_unescape.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

#include "text/code_point.h"

namespace ulmfit::text {
namespace {

struct Entity {
  std::string_view name;  // after the ampersand, with its semicolon if it has one
  std::string_view text;
};

constexpr Entity kEntities[] = {
#include "text/html_entities.inc"
};

constexpr std::size_t kShortestName = 2;
constexpr std::size_t kLongestName = 32;

const Entity* find_entity(std::string_view name) {
  const auto* entity = std::lower_bound(std::begin(kEntities), std::end(kEntities), name,
                                        [](const Entity& a, std::string_view b) { return a.name < b; });
  return entity != std::end(kEntities) && entity->name == name ? entity : nullptr;
}

// What references to 0x80 .. 0x9F mean: the characters of windows-1252, or the control itself where that has none.
constexpr std::array<char32_t, 32> kWindows1252 = {0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                                   0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D,   0x017D, 0x8F,
                                                   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                                   0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};

constexpr char32_t kBeyondUnicode = 0x110000;

void append_reference(std::string& out, char32_t number) {
  if (number >= 0x80 && number < 0xA0) return append_code_point(out, kWindows1252[number - 0x80]);
  if (number == 0 || number >= kBeyondUnicode || (number >= 0xD800 && number < 0xE000))
    return append_code_point(out, 0xFFFD);
  const bool control = number < 0x20 && !(number == '\t' || number == '\n' || number == '\f' || number == '\r');
  const bool noncharacter = (number & 0xFFFEU) == 0xFFFEU || (number >= 0xFDD0 && number <= 0xFDEF);
  if (!control && number != 0x7F && !noncharacter) append_code_point(out, number);
}

int digit_value(char c, char32_t base) {
  if (c >= '0' && c <= '9') return c - '0';
  if (base == 16 && c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (base == 16 && c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Replaces the reference `&#...` at `at` and returns the offset after it; `at` itself if it is none.
std::size_t replace_numeric(std::string_view text, std::size_t at, std::string& out) {
  std::size_t next = at + 2;
  const bool hexadecimal = next < text.size() && (text[next] == 'x' || text[next] == 'X');
  if (hexadecimal) ++next;
  const char32_t base = hexadecimal ? 16 : 10;
  const std::size_t digits = next;
  char32_t number = 0;
  for (int digit = 0; next < text.size() && (digit = digit_value(text[next], base)) >= 0; ++next) {
    number = std::min<char32_t>(number * base + static_cast<char32_t>(digit), kBeyondUnicode);
  }
  if (next == digits) return at;
  append_reference(out, number);
  return next < text.size() && text[next] == ';' ? next + 1 : next;
}

// The same for `&name`.
std::size_t replace_named(std::string_view text, std::size_t at, std::string& out) {
  const std::string_view rest = text.substr(at + 1, kLongestName);
  // No name goes on after its semicolon, and none has other characters than letters and digits before it.
  const auto is_name = [](char c) { return is_ascii(c) && is_word_character(static_cast<unsigned char>(c)) && c != '_'; };
  auto end = static_cast<std::size_t>(std::find_if_not(rest.begin(), rest.end(), is_name) - rest.begin());
  if (end < rest.size() && rest[end] == ';') ++end;
  for (; end >= kShortestName; --end) {
    if (const Entity* entity = find_entity(rest.substr(0, end))) {
      out.append(entity->text);
      return at + 1 + end;
    }
  }
  return at;
}

}  // namespace

std::string html_unescape(std::string_view text) {
  std::string out;
  std::size_t copied = 0;
  std::size_t at = text.find('&');
  if (at != std::string_view::npos) out.reserve(text.size());
  while (at != std::string_view::npos) {
    out.append(text, copied, at - copied);
    copied = at;
    if (at + 1 < text.size()) copied = text[at + 1] == '#' ? replace_numeric(text, at, out) : replace_named(text, at, out);
    at = text.find('&', std::max(copied, at + 1));
  }
  out.append(text, copied);
  return out;
}

}  // namespace ulmfit::text
