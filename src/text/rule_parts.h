// What the text rules of fastai's versions share.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ulmfit::text {

struct Replacement {
  std::string_view from;
  std::string_view to;
  std::size_t rare;  // index in `from` of the byte that is rarest in text: that one is searched for
};

// One after the other over the whole text, each at all places from the left, without overlap: a later one sees what an
// earlier one wrote.
std::string replace_each(std::string_view text, std::span<const Replacement> replacements);

// (\S)(\1{least - 1,}): "cccc" -> " xxrep 4 c "
std::string mark_repeated_characters(std::string_view text, std::size_t least);

// A blank on both sides of each of these ASCII characters.
std::string part_from_neighbours(std::string_view text, std::string_view characters);

// Behind the word characters (\w) that stand at `at`.
std::size_t find_word_end(std::string_view text, std::size_t at);

}  // namespace ulmfit::text
