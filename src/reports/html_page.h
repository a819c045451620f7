// The frame of a report page: one HTML file that needs nothing else, no network and no fonts, and forbids itself both.
#pragma once

#include <string>
#include <string_view>

namespace ulmfit::reports {

// Safe as content and as a quoted attribute: & < > " ' are written as entities.
std::string escape_html(std::string_view text);

// `title` is plain text, `body` HTML. Colours follow the reader's light or dark setting.
std::string html_page(std::string_view title, std::string_view body);

}  // namespace ulmfit::reports
