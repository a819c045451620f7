#include "text/rules.h"

#include <algorithm>
#include <optional>

#include "text/code_point.h"
#include "text/html_unescape.h"
#include "text/rule_parts.h"

namespace ulmfit::text {
namespace {

constexpr Replacement kHtmlReplacements[] = {
    {"#39;", "'", 0},  {"amp;", "&", 3},  {"#146;", "'", 0},    {"nbsp;", " ", 4}, {"#36;", "$", 0},
    {"\\n", "\n", 0},  {"quot;", "'", 4}, {"<br />", "\n", 0},  {"\\\"", "\"", 0}, {"<unk>", "xxunk", 0},
    {" @.@ ", ".", 1}, {" @-@ ", "-", 1}, {"...", " \u2026", 0}};

struct Repeat {
  int words;
  std::size_t word_end;  // of the first word
  std::size_t last_end;  // of the last
};

// A word that starts at `begin` and stands there at least three times with nothing but white space between.
std::optional<Repeat> find_repeat(std::string_view text, std::size_t begin) {
  const std::size_t word_end = find_word_end(text, begin);
  if (word_end == begin) return std::nullopt;
  const std::string_view word = text.substr(begin, word_end - begin);
  Repeat repeat{1, word_end, word_end};
  for (;;) {
    const std::size_t next = skip_spaces(text, repeat.last_end);
    if (next == repeat.last_end || text.substr(next, word.size()) != word) break;
    const std::size_t end = next + word.size();
    if (find_word_end(text, end) != end) break;
    ++repeat.words;
    repeat.last_end = end;
  }
  return repeat.words < 3 ? std::nullopt : std::optional(repeat);
}

constexpr bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool is_lower(char c) { return c >= 'a' && c <= 'z'; }

// Each word between white space that begins with an ASCII capital and that `takes` accepts is put in lower case, with
// `mark` in front if it has more than one character.
template <class Takes>
std::string mark_words(std::string_view text, std::string_view mark, Takes takes) {
  std::string out;
  std::size_t copied = 0;
  for (std::size_t begin = 0; begin < text.size(); ++begin) {
    if (!is_upper(text[begin]) || !(begin == 0 || ends_in_space(text.substr(0, begin)))) continue;
    const std::string_view word = text.substr(begin, find_space(text, begin) - begin);
    if (!takes(word)) continue;
    out.append(text, copied, begin - copied).append(word.size() > 1 ? mark : "").append(to_lower(word));
    copied = begin + word.size();
    begin = copied - 1;
  }
  return out.append(text, copied);
}

}  // namespace

std::string fix_html(std::string_view text) { return html_unescape(replace_each(text, kHtmlReplacements)); }

// (\S)(\1{2,})
std::string replace_rep(std::string_view text) { return mark_repeated_characters(text, 3); }

// (?:\s|^)(\w+)\s+((?:\1\s+)+)\1(\s|\W|$): the white space in front and one character behind belong to the match, and so
// can't be the white space in front of the next one.
std::string replace_wrep(std::string_view text) {
  std::string out;
  std::size_t copied = 0;
  std::size_t lead = 0;   // where a match would begin
  std::size_t begin = 0;  // where its word would
  for (;;) {
    std::size_t next = find_space(text, begin);
    // Nearly every word is ruled out by the first byte of its neighbour.
    const std::size_t second = next > begin ? skip_spaces(text, next) : text.size();
    const bool alike = second < text.size() && text[second] == text[begin];
    if (const auto repeat = alike ? find_repeat(text, begin) : std::nullopt) {
      next = repeat->last_end < text.size() ? repeat->last_end + code_point_bytes(text[repeat->last_end]) : text.size();
      out.append(text, copied, lead - copied).append(" xxwrep ").append(std::to_string(repeat->words)).append(" ");
      out.append(text, begin, repeat->word_end - begin).append(" ").append(text, repeat->last_end, next - repeat->last_end);
      copied = next;
      next = find_space(text, next);
    }
    lead = next;
    if (lead == text.size()) break;
    begin = lead + code_point_bytes(text[lead]);
  }
  return out.append(text, copied);
}

std::string spec_add_spaces(std::string_view text) { return part_from_neighbours(text, "/#\\"); }

std::string rm_useless_spaces(std::string_view text) {
  std::string out;
  std::size_t copied = 0;
  for (std::size_t at = 0; (at = text.find("  ", at)) != std::string_view::npos;) {
    out.append(text, copied, at + 1 - copied);
    at = copied = std::min(text.find_first_not_of(' ', at), text.size());
  }
  return out.append(text, copied);
}

// (\s|^)([A-Z]+[^a-z\s]*)(?=(\s|$))
std::string replace_all_caps(std::string_view text) {
  return mark_words(text, "xxup ", [](std::string_view word) { return std::none_of(word.begin(), word.end(), is_lower); });
}

// (\s|^)([A-Z][^A-Z\s]*)(?=(\s|$))
std::string replace_maj(std::string_view text) {
  return mark_words(text, "xxmaj ",
                    [](std::string_view word) { return std::none_of(word.begin() + 1, word.end(), is_upper); });
}

std::string lowercase(std::string_view text) { return std::string("xxbos ").append(strip(to_lower(text))); }

std::string apply_fastai_rules(std::string_view text) {
  std::string out = replace_wrep(replace_rep(fix_html(text)));
  out = rm_useless_spaces(spec_add_spaces(out));
  return lowercase(replace_maj(replace_all_caps(out)));
}

}  // namespace ulmfit::text
