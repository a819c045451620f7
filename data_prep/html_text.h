// The visible text of an HTML page (libxml2's forgiving HTML parser). The only user of libxml2 is html_text.cpp.
#pragma once

#include <string>
#include <string_view>

#include "text/utf8.h"

namespace ulmfit::data_prep {

// Block elements and <br> end lines, blanks are collapsed (not the line ends in <pre>), no line is empty; entities are
// decoded. Left out: script, style, head, nav and what else is not read (templates, drawings, forms' choices), elements
// that are hidden or have role="navigation", and DocBook's navheader and navfooter. Valid UTF-8 is read as such whatever
// the page says; a page that is UTF-8 but for some bytes has U+FFFD for them; others are read by their own charset, else as
// ISO-8859-1. A comment, script or attribute that is never closed hides what follows, as in a browser. Adds to `cleaned`
// what was changed. A page is read to its end or refused: throws DataError naming `origin`, the line and the reason (more
// than 25,000 elements open at once, more than 1 GB, bytes that its charset does not have, a NUL in a tag).
std::string html_text(std::string_view html, const std::string& origin, text::CleanCounts& cleaned);

}  // namespace ulmfit::data_prep
