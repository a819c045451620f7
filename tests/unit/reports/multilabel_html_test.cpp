#include "reports/multilabel_html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ulmfit::reports {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Multilabel two_classes() { return {{"one", "two"}, {0.25, 0.875}, {{40, 50, 30}, {20, 10, 10}}, 100, 60, "test"}; }

TEST(MultilabelSections, ShowFiguresByClass) {
  const Multilabel decided = two_classes();
  const std::string html = multilabel_sections(decided, multilabel_metrics(decided));
  EXPECT_THAT(html, HasSubstr("60 of 100 texts got all the labels that the data gives them, and no other; 20.0% of the"));
  EXPECT_THAT(html, HasSubstr("<td>0.250</td><td class=\"bar\" style=\"--share:60.0%\">60.0%</td>"));
  EXPECT_THAT(html, HasSubstr("<td>20</td><td>10</td>"));
  const std::string tiles = multilabel_tiles(decided, multilabel_metrics(decided));
  EXPECT_THAT(tiles, HasSubstr("<span>Wrong decisions</span><b>20.0%</b>"));
  EXPECT_THAT(tiles, HasSubstr("<span>Micro F1</span><b>66.7%</b>"));
}

TEST(MultilabelSections, LabelsAreTextNotMarkup) {
  Multilabel decided = two_classes();
  decided.labels[1] = "<script>alert(\"1\")</script>";
  decided.split = "<b>";
  const std::string html = multilabel_sections(decided, multilabel_metrics(decided));
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("<b>")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;"));
}

TEST(MultilabelSections, NothingWithoutTexts) {
  const Multilabel none{{"a", "b"}, {0.5, 0.5}, {{}, {}}, 0, 0, "test"};
  EXPECT_EQ(multilabel_sections(none, multilabel_metrics(none)), "");
  EXPECT_EQ(multilabel_tiles(none, multilabel_metrics(none)), "");
}

}  // namespace
}  // namespace ulmfit::reports
