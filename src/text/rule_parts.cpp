#include "text/rule_parts.h"

#include "text/code_point.h"

namespace ulmfit::text {
namespace {

void replace_all(std::string& text, const Replacement& what) {
  const std::string_view source = text;
  std::string out;
  std::size_t copied = 0;
  for (std::size_t search = what.rare; (search = source.find(what.from[what.rare], search)) != std::string_view::npos;) {
    const std::size_t begin = search - what.rare;
    if (source.substr(begin, what.from.size()) == what.from) {
      out.append(source, copied, begin - copied).append(what.to);
      copied = begin + what.from.size();
      search = copied + what.rare;
    } else {
      ++search;
    }
  }
  if (copied == 0) return;
  out.append(source, copied);
  text = std::move(out);
}

}  // namespace

std::string replace_each(std::string_view text, std::span<const Replacement> replacements) {
  std::string out(text);
  for (const Replacement& what : replacements) replace_all(out, what);
  return out;
}

std::string mark_repeated_characters(std::string_view text, std::size_t least) {
  std::string out;
  std::size_t copied = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t width = code_point_bytes(text[at]);
    const std::string_view character = text.substr(at, width);
    std::size_t end = at + width;
    while (end < text.size() && text[end] == text[at] && text.substr(end, width) == character) end += width;
    if (end - at >= least * width && !is_space(code_point_at(text, at))) {
      out.append(text, copied, at - copied);
      out.append(" xxrep ").append(std::to_string((end - at) / width)).append(" ").append(character).append(" ");
      copied = end;
    }
    at = end;
  }
  return out.append(text, copied);
}

std::string part_from_neighbours(std::string_view text, std::string_view characters) {
  std::string out;
  std::size_t copied = 0;
  for (std::size_t at = 0; (at = text.find_first_of(characters, at)) != std::string_view::npos; ++at) {
    out.append(text, copied, at - copied).append({' ', text[at], ' '});
    copied = at + 1;
  }
  return out.append(text, copied);
}

std::size_t find_word_end(std::string_view text, std::size_t at) {
  while (at < text.size() && is_word_character(code_point_at(text, at))) at += code_point_bytes(text[at]);
  return at;
}

}  // namespace ulmfit::text
