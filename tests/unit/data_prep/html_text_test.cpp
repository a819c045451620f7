#include "data_prep/html_text.h"

#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string visible(std::string_view html) {
  text::CleanCounts cleaned;
  return html_text(html, "page.html", cleaned);
}

std::string repeated(std::string_view part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
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

TEST(HtmlText, ABadByteInUtf8IsOneBadByte) {
  for (const char* head : {"<meta charset=\"utf-8\">", "<META http-equiv=x content='text/html; charset = UTF-8'>", ""}) {
    text::CleanCounts cleaned;
    EXPECT_EQ(html_text(std::string(head) + "<p>na\xC3\xAFve caf\xE9 \xC3\xBC"
                                            "ber</p>",
                        "page.html", cleaned),
              "naïve caf\uFFFD über")
        << head;
    EXPECT_EQ(cleaned.invalid_utf8, 1U);
  }
  EXPECT_EQ(visible("<p>caf\xE9</p>"), "café") << "no character of several bytes: not UTF-8";
}

TEST(HtmlText, SurvivesDeepNesting) { EXPECT_EQ(visible(repeated("<div>", 20000) + "deep"), "deep"); }

TEST(HtmlText, KeepsAllPostsOfAPageThatClosesNoTag) {
  std::string page;
  std::string posts;
  for (int i = 0; i < 200; ++i) {
    page += str("<font size=2><b>post ", i, "<br>\n");
    posts += str(i == 0 ? "" : "\n", "post ", i);
  }
  EXPECT_EQ(visible(page), posts);
}

TEST(HtmlText, ReadsOnBehindALongText) {
  const std::string text = visible("<pre>" + repeated("word ", 2200000) + "</pre><p>behind</p>");
  EXPECT_EQ(text.size(), 11000006U);
  EXPECT_THAT(text, ::testing::EndsWith("word\nbehind"));
  EXPECT_EQ(visible("<p>a<!--" + repeated("x", 11000000) + "--><i title='" + repeated("y", 11000000) + "'>b</i>"), "ab");
}

TEST(HtmlText, ReadsATagOfManyAttributes) {
  std::string page = "<p>a<i";
  for (int i = 0; i < 5000; ++i) page += str(" a", i, "=1");
  EXPECT_EQ(visible(page + ">b</i>c"), "abc");
  EXPECT_EQ(visible(page + " hidden>b</i>c"), "ac");
}

TEST(HtmlText, IgnoresThePrefixOfAnElement) { EXPECT_EQ(visible("<i>a<o:p>b</o:p>c<svg:svg>d</svg:svg></i>"), "a\nb\nc"); }

TEST(HtmlText, RefusesAPageThatCannotBeReadToItsEnd) {
  const auto refusal = [](const std::string& page) { return test::message_of<DataError>([&] { visible(page); }); };
  EXPECT_THAT(refusal("one\n" + repeated("<b>", 100000)),
              AllOf(HasSubstr("cannot read page.html behind line 2"), HasSubstr("more than 25000 elements are open")));
  EXPECT_THAT(refusal("<meta charset=windows-1252><p>caf\xE9</p>\n<p>\x81 lost</p>"),
              AllOf(HasSubstr("page.html behind line"), HasSubstr("do not go on in the page's charset")));
  EXPECT_THAT(refusal(std::string("<p>caf\xE9 <b\0>lost</b>", 20)), AllOf(HasSubstr("page.html"), HasSubstr("NUL")));
}

TEST(HtmlText, CountsWhatWasCleaned) {
  text::CleanCounts cleaned;
  EXPECT_EQ(html_text("<p>a\r\nb</p>", "page.html", cleaned), "a b");
  EXPECT_EQ(cleaned.carriage_returns, 1U);
}

}  // namespace
}  // namespace ulmfit::data_prep
