#include "text/utf8.h"

#include <cstring>

namespace ulmfit::text {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";
constexpr std::string_view kByteOrderMark = "\uFEFF";

// The end of the bytes from `at` on that stay as they are: ASCII without NUL and CR. Eight at a time, by the test for a
// zero byte in a word: (x - 0x01..) & ~x & 0x80.. .
std::size_t plain_end(std::string_view bytes, std::size_t at) {
  constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
  constexpr std::uint64_t kHighs = 0x8080808080808080ULL;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    const std::uint64_t returns = word ^ (kOnes * '\r');
    if (((word | ((word - kOnes) & ~word) | ((returns - kOnes) & ~returns)) & kHighs) != 0) break;
  }
  const auto is_plain = [](char c) { return static_cast<signed char>(c) > 0 && c != '\r'; };
  while (at < bytes.size() && is_plain(bytes[at])) ++at;
  return at;
}

struct Sequence {
  std::size_t bytes;  // at least 1
  bool valid;
};

// The sequence that starts at the non-ASCII byte `at`: well-formed (Unicode 15, table 3-7), or the longest start of one.
Sequence sequence_at(std::string_view bytes, std::size_t at) {
  const auto first = static_cast<unsigned char>(bytes[at]);
  if (first < 0xC2 || first > 0xF4) return {1, false};
  const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < length; ++i) {
    if (at + i == bytes.size()) return {i, false};
    const auto byte = static_cast<unsigned char>(bytes[at + i]);
    if (byte < low || byte > high) return {i, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, true};
}

}  // namespace

CleanCounts& CleanCounts::operator+=(const CleanCounts& other) {
  invalid_utf8 += other.invalid_utf8;
  nul_bytes += other.nul_bytes;
  carriage_returns += other.carriage_returns;
  byte_order_marks += other.byte_order_marks;
  return *this;
}

std::string clean_utf8(std::string_view bytes, CleanCounts& counts) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = plain_end(bytes, at);
    text.append(bytes, at, end - at);
    at = end;
    if (at == bytes.size()) break;
    if (bytes[at] == '\0') {
      ++counts.nul_bytes;
      ++at;
    } else if (bytes[at] == '\r') {
      ++counts.carriage_returns;
      text.push_back('\n');
      at += at + 1 < bytes.size() && bytes[at + 1] == '\n' ? 2 : 1;
    } else {
      const Sequence sequence = sequence_at(bytes, at);
      const std::string_view code_point = bytes.substr(at, sequence.bytes);
      if (!sequence.valid) {
        ++counts.invalid_utf8;
        text.append(kReplacement);
      } else if (text.empty() && code_point == kByteOrderMark) {
        ++counts.byte_order_marks;
      } else {
        text.append(code_point);
      }
      at += sequence.bytes;
    }
  }
  return text;
}

}  // namespace ulmfit::text
