#include "reports/html_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ulmfit::reports {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(EscapeHtml, WritesEntities) {
  EXPECT_EQ(escape_html("<a href=\"x\">Tom & Jerry's</a>"), "&lt;a href=&quot;x&quot;&gt;Tom &amp; Jerry&#39;s&lt;/a&gt;");
  EXPECT_EQ(escape_html("Größe 中文"), "Größe 中文");
  EXPECT_EQ(escape_html(""), "");
}

TEST(HtmlPage, NeedsNothingElseAndForbidsItself) {
  const std::string page = html_page("<title>", "<p>body</p>");
  EXPECT_THAT(page, HasSubstr("<title>&lt;title&gt;</title>"));
  EXPECT_THAT(page, HasSubstr("<p>body</p>"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(page, HasSubstr("width=device-width"));
  for (const char* outside : {"http:", "https:", "url(", "@import", "src="}) EXPECT_THAT(page, Not(HasSubstr(outside)));
}

}  // namespace
}  // namespace ulmfit::reports
