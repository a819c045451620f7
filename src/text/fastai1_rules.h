// The text rules of fastai v1 (1.0.61, fastai/text/transform.py), for models that it was used to train. Its capitals are
// marked on the words, after the text was split: in Unicode, and in parts of what v2 takes for one word.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ulmfit::text::fastai1 {

std::string fix_html(std::string_view text);
std::string replace_rep(std::string_view text);      // "cccc" -> " xxrep 4 c ", from four on
std::string replace_wrep(std::string_view text);     // "no no no no " -> " xxwrep 4 no  ", from four on
std::string spec_add_spaces(std::string_view text);  // blanks around / # and line feed

// defaults.text_pre_rules in its order, with rm_useless_spaces of v2 at the end. Takes and gives valid UTF-8.
std::string apply_rules(std::string_view text);

// defaults.text_post_rules: replace_all_caps ("NASA" -> "xxup", "nasa"), then deal_caps ("Film" -> "xxmaj", "film").
std::vector<std::string> mark_capitals(std::vector<std::string> tokens);

}  // namespace ulmfit::text::fastai1
