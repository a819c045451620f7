#include "text/fastai1_rules.h"

#include <algorithm>
#include <utility>

#include "text/code_point.h"
#include "text/html_unescape.h"
#include "text/rule_parts.h"
#include "text/rules.h"

namespace ulmfit::text::fastai1 {
namespace {

constexpr Replacement kHtmlReplacements[] = {
    {"#39;", "'", 0},  {"amp;", "&", 3},  {"#146;", "'", 0},   {"nbsp;", " ", 4}, {"#36;", "$", 0},
    {"\\n", "\n", 0},  {"quot;", "'", 4}, {"<br />", "\n", 0}, {"\\\"", "\"", 0}, {"<unk>", "xxunk", 0},
    {" @.@ ", ".", 1}, {" @-@ ", "-", 1}, {" @,@ ", ",", 1},   {"\\", " \\ ", 0}};

// The words between white space, as Python's str.split() counts them.
std::size_t count_words(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = skip_spaces(text, 0); at < text.size(); at = skip_spaces(text, find_space(text, at))) ++count;
  return count;
}

std::size_t find_word_begin(std::string_view text, std::size_t at) {
  while (at < text.size() && !is_word_character(code_point_at(text, at))) at += code_point_bytes(text[at]);
  return at;
}

}  // namespace

std::string fix_html(std::string_view text) {
  return rm_useless_spaces(html_unescape(replace_each(text, kHtmlReplacements)));
}

std::string replace_rep(std::string_view text) { return mark_repeated_characters(text, 4); }

// (\b\w+\W+)(\1{3,}): a word and all that parts it from the next, four times alike. The number is that of the words between
// white space, as v1 counts: of "no,no,no,no," 2.
std::string replace_wrep(std::string_view text) {
  std::string out;
  std::size_t copied = 0;
  for (std::size_t begin = find_word_begin(text, 0); begin < text.size();) {
    const std::size_t next = find_word_begin(text, find_word_end(text, begin));
    const std::string_view unit = text.substr(begin, next - begin);
    std::size_t end = next;
    while (next > begin && text.substr(end).starts_with(unit)) end += unit.size();
    // The last word of a text has nothing behind it: no unit.
    if (end - begin < 4 * unit.size() || find_word_end(text, begin) == next) {
      begin = next;
      continue;
    }
    out.append(text, copied, begin - copied).append(" xxwrep ");
    out.append(std::to_string(count_words(text.substr(next, end - next)) + 1)).append(" ").append(unit).append(" ");
    copied = end;
    begin = find_word_begin(text, end);
  }
  return out.append(text, copied);
}

std::string spec_add_spaces(std::string_view text) { return part_from_neighbours(text, "/#\n"); }

std::string apply_rules(std::string_view text) {
  return rm_useless_spaces(spec_add_spaces(replace_wrep(replace_rep(fix_html(text)))));
}

std::vector<std::string> mark_capitals(std::vector<std::string> tokens) {
  std::vector<std::string> marked;
  marked.reserve(tokens.size() + tokens.size() / 4);
  for (std::string& token : tokens) {
    if (token.size() > code_point_bytes(token[0]) && is_upper_case(token)) {
      marked.emplace_back("xxup");
      token = to_lower(token);
    }
    // As v1, which looks at its own lower case again: some capitals have none.
    const std::size_t first = code_point_bytes(token[0]);
    const std::string_view word = token;
    if (word.size() > first && is_upper_case(word.substr(0, first)) && is_lower_case(word.substr(first))) {
      marked.emplace_back("xxmaj");
    }
    marked.push_back(to_lower(token));
  }
  return marked;
}

}  // namespace ulmfit::text::fastai1
