// Line charts as a piece of HTML: an SVG drawing that stretches with the page, labels beside it as text, so that they are
// readable at any width. The style sheet and the script (values under the pointer) are those of html_page.
#pragma once

#include <string>
#include <vector>

#include "reports/chart_axis.h"

namespace ulmfit::reports {

struct Point {
  double x = 0;
  double y = 0;
};

enum class LineStyle { kLine, kFaint, kMarked };  // kFaint: in the background; kMarked: with a dot at each point

struct Series {
  std::string name;
  std::vector<Point> points;  // by rising x; those that are not finite are left out
  LineStyle style = LineStyle::kLine;
  int color = 0;                   // of the style sheet's palette
  std::vector<Range> spread = {};  // of y by point, drawn as a vertical bar; empty: none
};

struct Chart {
  std::string title;
  std::string note;    // what it shows, for someone who has never seen one
  std::string x_name;  // of the horizontal axis
  std::string unit;    // behind values and title: "%", "tokens/s"
  bool from_zero = false;
  bool wide = false;   // as wide as the page
  bool log_x = false;  // logarithmic in x, from the lowest point on; all are above 0
  std::vector<Series> series;
  std::vector<Point> marks = {};  // vertical lines: x, number
  std::string mark_name = "";     // "phase": its line is labelled "phase 2"
};

// A <figure>, every text escaped; empty if no series has a point. A range of values above 1:50 gets a logarithmic axis. The
// first 2 % of long curves and single outliers do not count for the axis: they may leave the picture at the top.
std::string chart_html(const Chart& chart);

// At most about `most` points that look the same: the first, lowest, highest and last of each stretch of x.
std::vector<Point> thinned(const std::vector<Point>& points, std::size_t most);

// Running median over the `window` points around each, at no more than `most` of the places: single peaks don't bend it.
// Near the start the window is shorter, but symmetric, so that a steep start is kept; at the end it reaches back only.
std::vector<Point> smoothed(const std::vector<Point>& points, std::size_t window, std::size_t most = 400);

}  // namespace ulmfit::reports
