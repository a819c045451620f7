#include "text/html_unescape.h"

#include <gtest/gtest.h>

namespace ulmfit::text {
namespace {

TEST(HtmlUnescape, KnowsNamesWithAndWithoutSemicolon) {
  EXPECT_EQ(html_unescape("a &lt; b &amp; c &gt d"), "a < b & c > d");
  EXPECT_EQ(html_unescape("caf&eacute; caf&eacutes"), "caf\u00E9 caf\u00E9s");
  EXPECT_EQ(html_unescape("&hearts; &hearts"), "\u2665 &hearts");  // has no form without semicolon
  EXPECT_EQ(html_unescape("&bne;"), "=\u20E5");                    // two code points
  EXPECT_EQ(html_unescape("&CounterClockwiseContourIntegral;"), "\u2233");
}

TEST(HtmlUnescape, TakesTheLongestName) {
  EXPECT_EQ(html_unescape("&notit;"), "\u00ACit;");
  EXPECT_EQ(html_unescape("&notin;"), "\u2209");
  EXPECT_EQ(html_unescape("&copy2024"), "\u00A92024");
}

TEST(HtmlUnescape, ReadsNumbers) {
  EXPECT_EQ(html_unescape("&#62;&#62&#x3e;&#X3E&#x3Eg"), ">>>>>g");
  EXPECT_EQ(html_unescape("&#128;&#150;"), "\u20AC\u2013");  // windows-1252
  EXPECT_EQ(html_unescape("&#0;&#xD800;&#x110000;&#99999999999999999999;"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(html_unescape("[&#1;&#127;&#xFFFE;&#xFDD0;&#x10FFFF;]"), "[]");
}

TEST(HtmlUnescape, LeavesTheRest) {
  for (const char* text :
       {"", "&", "&&", "&;", "& lt;", "&#", "&#;", "&#x;", "&#xg", "&nosuch;", "&l", "AT&T", "a&b", "&\u00E9amp;"}) {
    EXPECT_EQ(html_unescape(text), text);
  }
  EXPECT_EQ(html_unescape("&amp;lt;"), "&lt;");  // once
  EXPECT_EQ(html_unescape("&&lt;&"), "&<&");
}

}  // namespace
}  // namespace ulmfit::text
