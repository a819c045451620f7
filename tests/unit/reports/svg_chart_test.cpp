#include "reports/svg_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ulmfit::reports {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<Point> line(std::size_t count) {
  std::vector<Point> points;
  for (std::size_t i = 0; i < count; ++i) points.push_back({static_cast<double>(i), 2.0 * static_cast<double>(i)});
  return points;
}

Chart chart_of(std::vector<Series> series) {
  Chart chart;
  chart.title = "Loss";
  chart.x_name = "step";
  chart.series = std::move(series);
  return chart;
}

TEST(Thinned, KeepsEndsAndPeaks) {
  std::vector<Point> points = line(10000);
  points[4321].y = 1e6;
  points[7777].y = -1e6;
  const auto kept = thinned(points, 400);
  EXPECT_LE(kept.size(), 400U);
  EXPECT_EQ(kept.front().x, 0);
  EXPECT_EQ(kept.back().x, 9999);
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end(), [](const Point& a, const Point& b) { return a.x < b.x; }));
  for (const double peak : {1e6, -1e6}) {
    EXPECT_TRUE(std::any_of(kept.begin(), kept.end(), [&](const Point& p) { return p.y == peak; }));
  }
  EXPECT_EQ(thinned(line(400), 400).size(), 400U);
}

TEST(Smoothed, AStraightLineStaysUntilItsEnd) {
  const auto medians = smoothed(line(1000), 101, 1000);
  ASSERT_EQ(medians.size(), 1000U);
  for (std::size_t i = 0; i + 51 < medians.size(); ++i) EXPECT_EQ(medians[i].y, 2 * medians[i].x);
}

TEST(Smoothed, SinglePeaksAreGone) {
  std::vector<Point> points = line(1000);
  for (Point& p : points) p.y = 1;
  for (std::size_t i = 5; i < points.size(); i += 10) points[i].y = 1e9;
  for (const Point& p : smoothed(points, 25)) EXPECT_EQ(p.y, 1);
}

TEST(Smoothed, FewPlacesOfManyPoints) {
  const auto medians = smoothed(line(100000), 2500, 400);
  EXPECT_EQ(medians.size(), 400U);
  EXPECT_EQ(medians.front().x, 0);
  EXPECT_EQ(medians.back().x, 99999);
  EXPECT_EQ(smoothed(line(1), 5).size(), 1U);
  EXPECT_TRUE(smoothed({}, 5).empty());
}

TEST(ChartHtml, NothingToDrawIsEmpty) {
  EXPECT_EQ(chart_html(chart_of({})), "");
  EXPECT_EQ(chart_html(chart_of({{"a", {}}, {"b", {{1, std::nan("")}, {2, INFINITY}}}})), "");
}

TEST(ChartHtml, EscapesEveryText) {
  Chart chart = chart_of({{"<i>one</i>", line(3)}, {"\"two\"", line(3)}});
  chart.title = "<b>title</b>";
  chart.note = "a & b";
  chart.unit = "<u>";
  chart.x_name = "<x>";
  chart.marks = {{1, 2}};
  chart.mark_name = "<m>";
  const std::string html = chart_html(chart);
  for (const char* raw : {"<i>", "<b>", "<u>", "<x>", "<m>", "\"\"two", "a & b"}) EXPECT_THAT(html, Not(HasSubstr(raw)));
  EXPECT_THAT(html, HasSubstr("&lt;i&gt;one&lt;/i&gt;"));
  EXPECT_THAT(html, HasSubstr("data-name=\"&quot;two&quot;\""));
}

TEST(ChartHtml, DrawsToScale) {
  Chart chart = chart_of({{"a", {{0, 0}, {500, 50}, {1000, 100}}, LineStyle::kMarked}});
  chart.from_zero = true;
  const std::string html = chart_html(chart);
  // x from 0 to 1015, y from 0 to 108, downwards.
  EXPECT_THAT(html, HasSubstr("d=\"M0.00 100.00L49.26 53.70L98.52 7.41\""));
  EXPECT_THAT(html, HasSubstr("data-points=\"0 0 500 50 1000 100\""));
  EXPECT_THAT(html, HasSubstr("<span class=\"x\" style=\"left:98.52%\">1,000</span>"));
  EXPECT_THAT(html, HasSubstr("<span class=\"y\" style=\"bottom:92.59%\">100</span>"));
}

TEST(ChartHtml, LeavesOutWhatIsNotFinite) {
  const std::string html = chart_html(chart_of({{"a", {{0, 1}, {1, std::nan("")}, {2, 3}}}}));
  EXPECT_THAT(html, HasSubstr("data-points=\"0 1 2 3\""));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
}

TEST(ChartHtml, ManyPowersOfTenAreDrawnLogarithmically) {
  const std::string html = chart_html(chart_of({{"a", {{0, 1}, {1, 10}, {2, 1000}}}}));
  EXPECT_THAT(html, HasSubstr("logarithmic"));
  EXPECT_THAT(html, HasSubstr(">1,000</span>"));
  EXPECT_THAT(chart_html(chart_of({{"a", {{0, 0}, {1, 10}, {2, 1000}}}})), Not(HasSubstr("logarithmic")));
}

TEST(ChartHtml, OnePointAndOneValueAreSeen) {
  for (const double y : {0.0, 5.0, -2.0}) {
    const std::string html = chart_html(chart_of({{"a", {{50, y}}}}));
    EXPECT_THAT(html, HasSubstr("class=\"dots"));
    EXPECT_THAT(html, Not(HasSubstr("nan")));
  }
  EXPECT_THAT(chart_html(chart_of({{"a", {{0, 1}}}})), Not(HasSubstr("inf")));
}

TEST(ChartHtml, AnOutlierDoesNotSquashTheRest) {
  std::vector<Point> points = line(1000);
  for (Point& p : points) p.y = 1 + 0.001 * p.x;
  points[700].y = 1e12;
  const std::string html = chart_html(chart_of({{"a", points}}));
  EXPECT_THAT(html, HasSubstr(">1.4</span>"));
  EXPECT_THAT(html, Not(HasSubstr("M</span>")));
}

TEST(ChartHtml, ALegendForSeveralSeriesOnly) {
  EXPECT_THAT(chart_html(chart_of({{"a", line(3)}})), Not(HasSubstr("legend")));
  EXPECT_THAT(chart_html(chart_of({{"a", line(3)}, {"b", line(4)}})), HasSubstr("<li class=\"c0\">b</li></ul>"));
}

TEST(ChartHtml, LogarithmicInXFromTheFirstPointOn) {
  Chart chart = chart_of({{"error", {{100, 3}, {1000, 2}, {10000, 1}}, LineStyle::kMarked}});
  chart.log_x = true;
  const std::string html = chart_html(chart);
  EXPECT_THAT(html, HasSubstr("L50.00 ")) << "1,000 lies in the middle of 100 and 10,000";
  EXPECT_THAT(html, HasSubstr("data-x-low=\""));
  EXPECT_THAT(html, HasSubstr(">1,000</span>"));
  chart.series[0].points[0].x = 0;
  EXPECT_THAT(chart_html(chart), Not(HasSubstr("data-x-low"))) << "0 has no place on it";
}

TEST(ChartHtml, FewPlacesAreTheTicksOfALogarithmicAxis) {
  Chart chart = chart_of({{"error", {{100, 3}, {300, 2}, {400, 1}}, LineStyle::kMarked}});
  chart.log_x = true;
  EXPECT_THAT(chart_html(chart), AllOf(HasSubstr(">100</span>"), HasSubstr(">300</span>"), HasSubstr(">400</span>")));
  chart.series[0].points[1].x = 399;  // no room for both labels
  EXPECT_THAT(chart_html(chart), AllOf(HasSubstr(">200</span>"), Not(HasSubstr(">400</span>"))));
}

TEST(ChartHtml, SpreadIsABarThatTheAxisHasRoomFor) {
  Chart chart = chart_of({{"error", {{1, 10}, {2, 10}}, LineStyle::kMarked}});
  chart.series[0].spread = {{5, 20}, {0, 40}};
  chart.from_zero = true;
  const std::string html = chart_html(chart);
  EXPECT_THAT(html, HasSubstr("class=\"spread c0\""));
  EXPECT_THAT(html, HasSubstr(" 100.00V7.41\"")) << "from 0 to 40 of 43.2";
  chart.series[0].points[0].y = std::nan("");
  EXPECT_THAT(chart_html(chart), Not(HasSubstr("spread"))) << "whose is which is no longer known";
}

}  // namespace
}  // namespace ulmfit::reports
