#include "data_prep/html_text.h"

#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

std::string visible(std::string_view html) {
  text::CleanCounts cleaned;
  return html_text(html, "page.html", cleaned);
}

TEST(HtmlText, TakesVisibleTextInLines) {
  EXPECT_EQ(visible("<html><head><title>T</title><style>p{}</style></head><body><h1>Head\n  line</h1><p>One <b>two</b>,\n"
                    "three.<br>Four<script>var x = '<p>';</script></p><ul><li>a<li>b</ul></body></html>"),
            "Head line\nOne two, three.\nFour\na\nb");
}

TEST(HtmlText, DecodesEntities) { EXPECT_EQ(visible("<p>a &amp; b &lt;c&gt; &eacute;&#8212;&#x41;</p>"), "a & b <c> é—A"); }

TEST(HtmlText, LeavesOutNavigation) {
  EXPECT_EQ(visible("<body><nav>menu</nav><div class=\"navheader\">prev</div><div role=\"navigation\">next</div><p>text</p>"
                    "<div class='navfooter'>up</div><p hidden>secret</p></body>"),
            "text");
}

TEST(HtmlText, KeepsLinesOfPreformattedText) {
  EXPECT_EQ(visible("<p>x</p><pre>one\n  two   three\n\nfour</pre><p>y\nz</p>"), "x\none\ntwo three\nfour\ny z");
}

TEST(HtmlText, PartsTableCells) {
  EXPECT_EQ(visible("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"), "a b\nc");
}

TEST(HtmlText, ReadsBrokenPages) {
  EXPECT_EQ(visible("<p>open <b>bold <p>next</i> & so <unknown>on</unknown> < 3"), "open bold\nnext & so on < 3");
  EXPECT_EQ(visible("no tags at all"), "no tags at all");
  EXPECT_EQ(visible(""), "");
  EXPECT_EQ(visible("<html><head><title>only a head</title></head></html>"), "");
  EXPECT_EQ(visible("<!-- <p>comment</p> -->text"), "text");
}

TEST(HtmlText, ReadsUtf8WhateverThePageSaysAndLatin1Else) {
  EXPECT_EQ(visible("<p>caf\xC3\xA9 \xE2\x80\x94</p>"), "café —");
  EXPECT_EQ(visible("<meta http-equiv=\"Content-Type\" content=\"text/html; charset=iso-8859-1\"><p>caf\xC3\xA9</p>"),
            "café");
  EXPECT_EQ(visible("<p>caf\xE9</p>"), "café");
  EXPECT_EQ(visible("<head><meta charset=\"iso-8859-2\"></head><p>\xB1</p>"), "ą");
}

TEST(HtmlText, SurvivesDeepNesting) {
  std::string page;
  for (int i = 0; i < 20000; ++i) page += "<div>";
  EXPECT_NO_THROW(visible(page + "deep"));
}

TEST(HtmlText, CountsWhatWasCleaned) {
  text::CleanCounts cleaned;
  EXPECT_EQ(html_text("<p>a\r\nb</p>", "page.html", cleaned), "a b");
  EXPECT_EQ(cleaned.carriage_returns, 1U);
}

}  // namespace
}  // namespace ulmfit::data_prep
