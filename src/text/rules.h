// The text rules of fastai v2 (fastai/text/core.py: defaults.text_proc_rules), in its order: fix_html, replace_rep,
// replace_wrep, spec_add_spaces, rm_useless_spaces, replace_all_caps, replace_maj, lowercase (which puts `xxbos ` in
// front). Each takes and gives valid UTF-8. apply_fastai_rules runs them all; the single ones are public for tests.
#pragma once

#include <string>
#include <string_view>

namespace ulmfit::text {

std::string fix_html(std::string_view text);
std::string replace_rep(std::string_view text);        // "cccc" -> " xxrep 4 c "
std::string replace_wrep(std::string_view text);       // "word word word " -> " xxwrep 3 word "
std::string spec_add_spaces(std::string_view text);    // blanks around / # and backslash
std::string rm_useless_spaces(std::string_view text);  // runs of U+0020
std::string replace_all_caps(std::string_view text);   // "HELLO" -> "xxup hello"
std::string replace_maj(std::string_view text);        // "Hello" -> "xxmaj hello"
std::string lowercase(std::string_view text);          // Unicode lower case, stripped, "xxbos " in front

std::string apply_fastai_rules(std::string_view text);

}  // namespace ulmfit::text
