// Character references of HTML.
#pragma once

#include <string>
#include <string_view>

namespace ulmfit::text {

// Valid UTF-8 with `&gt;`, `&gt`, `&#62;`, `&#x3E` and the like replaced as a browser would (HTML standard, 13.2.5.72 ff.),
// as Python's html.unescape: a name without semicolon counts where the standard has it, the longest one wins; references to
// surrogates and beyond U+10FFFF become U+FFFD, those to other forbidden code points nothing.
std::string html_unescape(std::string_view text);

}  // namespace ulmfit::text
