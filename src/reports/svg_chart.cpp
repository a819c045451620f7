#include "reports/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iterator>
#include <set>
#include <sstream>

#include "reports/chart_axis.h"
#include "reports/html_page.h"
#include "reports/number_format.h"

namespace ulmfit::reports {
namespace {

constexpr std::size_t kMostPoints = 500;  // a series: more than that many pixels are seldom there
constexpr std::size_t kMostDots = 60;
constexpr double kLogRatio = 50;
constexpr int kPalette = 8;

struct Axes {
  Range x;
  Range y;
  bool log = false;
  bool log_x = false;
};

bool is_drawable(const Point& p) { return std::isfinite(p.x) && std::isfinite(p.y); }

std::vector<Point> drawable(const std::vector<Point>& points) {
  std::vector<Point> kept;
  std::copy_if(points.begin(), points.end(), std::back_inserter(kept), is_drawable);
  return kept;
}

// Place on the drawing, 0 to 100 from the left or the bottom.
double along(double value, Range range) { return 100 * (value - range.low) / (range.high - range.low); }
double x_place(const Axes& axes, double x) {
  if (!axes.log_x) return along(x, axes.x);
  return along(std::log(x), {std::log(axes.x.low), std::log(axes.x.high)});
}
double y_place(const Axes& axes, double y) {
  if (!axes.log) return along(y, axes.y);
  return along(std::log(std::max(y, axes.y.low / 10)), {std::log(axes.y.low), std::log(axes.y.high)});
}

// The values that the vertical axis has to show.
std::vector<double> relevant_values(const Chart& chart, double last_x) {
  std::vector<double> values;
  for (const Series& series : chart.series) {
    std::vector<double> own;
    const bool is_long = series.points.size() > 100;
    for (const Point& p : series.points) {
      if (!is_long || p.x >= 0.02 * last_x) own.push_back(p.y);
    }
    if (own.empty()) continue;
    for (const Range& bar : series.spread) own.insert(own.end(), {bar.low, bar.high});
    const Range seen = is_long ? quantile_range(own, 0.005, 0.995) : quantile_range(own, 0, 1);
    values.push_back(seen.low);
    values.push_back(seen.high);
  }
  return values;
}

Axes axes_of(const Chart& chart) {
  constexpr double kRoom = 1.015;  // for the dot of the last point
  double first_x = INFINITY, last_x = 0;
  for (const Series& series : chart.series) {
    for (const Point& p : series.points) {
      first_x = std::min(first_x, p.x);
      last_x = std::max(last_x, p.x);
    }
  }
  Axes axes;
  axes.x = {0, last_x > 0 ? kRoom * last_x : 1};
  axes.log_x = chart.log_x && first_x > 0;
  if (axes.log_x) {
    const double air = std::pow(std::max(last_x / first_x, 2.0), 0.04);
    axes.x = {first_x / air, last_x * air};
  }
  Range seen = quantile_range(relevant_values(chart, last_x), 0, 1);
  axes.log = !chart.from_zero && seen.low > 0 && seen.high / seen.low > kLogRatio;
  if (axes.log) {
    axes.y = {seen.low / 1.2, seen.high * 1.2};
  } else if (chart.from_zero) {
    axes.y = {0, seen.high > 0 ? 1.08 * seen.high : 1};
  } else {
    axes.y = widened(seen, 0.06);
    if (seen.low >= 0) axes.y.low = std::max(axes.y.low, 0.0);
  }
  return axes;
}

std::string coordinate(double value) { return fixed(std::clamp(value, -1000.0, 2000.0), 2); }

std::string svg_y(const Axes& axes, double y) { return coordinate(100 - y_place(axes, y)); }

// The values themselves go along for the script, which shows them under the pointer.
std::string path(const Axes& axes, const Series& series, const std::vector<Point>& points) {
  std::ostringstream drawing;
  std::ostringstream data;
  for (const Point& p : points) {
    drawing << (drawing.tellp() == 0 ? "M" : "L") << coordinate(x_place(axes, p.x)) << ' ' << svg_y(axes, p.y);
    data << (data.tellp() == 0 ? "" : " ") << std::setprecision(9) << p.x << ' ' << std::setprecision(6) << p.y;
  }
  if (points.size() == 1) drawing << "h.01";
  return "<path class=\"line c" + std::to_string(series.color % kPalette) +
         (series.style == LineStyle::kFaint ? " faint" : "") + "\" d=\"" + drawing.str() + "\" data-name=\"" +
         escape_html(series.name) + "\" data-points=\"" + data.str() + "\"/>";
}

// Each dot is a line of no length with round ends: it stays round however the drawing is stretched.
std::string dots(const Axes& axes, const Series& series, const std::vector<Point>& points) {
  std::string drawing;
  for (const Point& p : points) drawing += "M" + coordinate(x_place(axes, p.x)) + " " + svg_y(axes, p.y) + "h.01";
  return "<path class=\"dots c" + std::to_string(series.color % kPalette) + "\" d=\"" + drawing + "\"/>";
}

std::string bars(const Axes& axes, const Series& series) {
  std::string drawing;
  for (std::size_t i = 0; i < std::min(series.points.size(), series.spread.size()); ++i) {
    drawing += "M" + coordinate(x_place(axes, series.points[i].x)) + " " + svg_y(axes, series.spread[i].low) + "V" +
               svg_y(axes, series.spread[i].high);
  }
  return drawing.empty()
             ? ""
             : "<path class=\"spread c" + std::to_string(series.color % kPalette) + "\" d=\"" + drawing + "\"/>";
}

std::string grid(const Axes& axes, const std::vector<double>& x_ticks, const std::vector<double>& y_ticks,
                 const std::vector<Point>& marks) {
  std::string drawing;
  for (const double x : x_ticks) drawing += "M" + coordinate(x_place(axes, x)) + " 0V100";
  for (const double y : y_ticks) drawing += "M0 " + svg_y(axes, y) + "H100";
  std::string vertical;
  for (const Point& mark : marks) vertical += "M" + coordinate(x_place(axes, mark.x)) + " 0V100";
  return "<path class=\"grid\" d=\"" + drawing + "\"/>" +
         (vertical.empty() ? "" : "<path class=\"mark\" d=\"" + vertical + "\"/>");
}

// Where the points are, if these are few and have room for their labels: the numbers that somebody chose.
std::vector<double> log_x_ticks(const Chart& chart, Range range) {
  constexpr std::size_t kMost = 8;
  constexpr double kRoom = 1.25;
  std::set<double> places;
  for (const Series& series : chart.series) {
    for (const Point& point : series.points) places.insert(point.x);
  }
  std::vector<double> ticks(places.begin(), places.end());
  const auto close = [](double a, double b) { return b < kRoom * a; };
  const bool fit = std::adjacent_find(ticks.begin(), ticks.end(), close) == ticks.end();
  return ticks.size() <= kMost && fit ? ticks : log_ticks(range, static_cast<int>(kMost));
}

std::string drawing(const Chart& chart, const Axes& axes, const std::vector<double>& x_ticks,
                    const std::vector<double>& y_ticks) {
  std::string svg = "<svg viewBox=\"0 0 100 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"" +
                    escape_html(chart.title) + "\">" + grid(axes, x_ticks, y_ticks, chart.marks);
  for (const Series& series : chart.series) {
    const std::vector<Point> points = thinned(series.points, kMostPoints);
    if (points.empty()) continue;
    svg += bars(axes, series) + path(axes, series, points);
    const bool marked = series.style == LineStyle::kMarked && points.size() <= kMostDots;
    if (marked || points.size() == 1) svg += dots(axes, series, points);
  }
  return svg + "</svg>";
}

std::string labels(const Chart& chart, const Axes& axes, const std::vector<double>& x_ticks,
                   const std::vector<double>& y_ticks) {
  std::string html;
  const std::vector<std::string> x_labels = tick_labels(x_ticks);
  for (std::size_t i = 0; i < x_ticks.size(); ++i) {
    html += "<span class=\"x\" style=\"left:" + coordinate(x_place(axes, x_ticks[i])) + "%\">" + x_labels[i] + "</span>";
  }
  const std::vector<std::string> y_labels = tick_labels(y_ticks);
  for (std::size_t i = 0; i < y_ticks.size(); ++i) {
    html += "<span class=\"y\" style=\"bottom:" + coordinate(y_place(axes, y_ticks[i])) + "%\">" + y_labels[i] + "</span>";
  }
  for (std::size_t i = 0; i < chart.marks.size(); ++i) {
    html += "<span class=\"mark\" style=\"left:" + coordinate(x_place(axes, chart.marks[i].x)) + "%\">" +
            (i == 0 ? escape_html(chart.mark_name) + " " : "") + fixed(chart.marks[i].y, 0) + "</span>";
  }
  return html;
}

std::string legend(const Chart& chart) {
  if (chart.series.size() < 2) return "";
  std::string html = "<ul class=\"legend\">";
  for (const Series& series : chart.series) {
    html += "<li class=\"c" + std::to_string(series.color % kPalette) +
            (series.style == LineStyle::kFaint ? " faint" : "") + "\">" + escape_html(series.name) + "</li>";
  }
  return html + "</ul>";
}

}  // namespace

std::string chart_html(const Chart& chart) {
  Chart finite = chart;
  for (Series& series : finite.series) {
    const std::vector<Point> points = drawable(series.points);
    if (points.size() != series.points.size()) series.spread.clear();  // they belong to points by their number
    series.points = points;
  }
  std::erase_if(finite.series, [](const Series& series) { return series.points.empty(); });
  if (finite.series.empty()) return "";
  const Axes axes = axes_of(finite);
  const std::vector<double> x_ticks = axes.log_x ? log_x_ticks(finite, axes.x) : round_ticks(axes.x, 6);
  const std::vector<double> y_ticks = axes.log ? log_ticks(axes.y, 7) : round_ticks(axes.y, 7);
  const std::string unit = chart.unit.empty() ? "" : " <small>" + escape_html(chart.unit) + "</small>";
  return std::string("<figure class=\"card chart") + (chart.wide ? " wide" : "") + "\"><figcaption><h3>" +
         escape_html(chart.title) + unit + "</h3><p>" + escape_html(chart.note) + "</p></figcaption>" + legend(finite) +
         "<div class=\"plot\"><div class=\"area\" data-unit=\"" + escape_html(chart.unit) + "\" data-x-name=\"" +
         escape_html(chart.x_name) + "\" data-x-high=\"" + significant(axes.x.high, 9) +
         (axes.log_x ? "\" data-x-low=\"" + significant(axes.x.low, 9) : "") + "\">" +
         drawing(finite, axes, x_ticks, y_ticks) + labels(finite, axes, x_ticks, y_ticks) + "</div><div class=\"x-name\">" +
         escape_html(chart.x_name) + (axes.log ? " · logarithmic height" : "") + "</div></div></figure>\n";
}

std::vector<Point> thinned(const std::vector<Point>& points, std::size_t most) {
  if (points.size() <= most || most < 4) return points;
  const std::size_t stretches = most / 4;
  std::vector<Point> kept;
  for (std::size_t s = 0; s < stretches; ++s) {
    const std::size_t first = s * points.size() / stretches;
    const std::size_t end = (s + 1) * points.size() / stretches;
    std::size_t low = first;
    std::size_t high = first;
    for (std::size_t i = first; i < end; ++i) {
      if (points[i].y < points[low].y) low = i;
      if (points[i].y > points[high].y) high = i;
    }
    std::vector<std::size_t> chosen = {first, low, high, end - 1};
    std::sort(chosen.begin(), chosen.end());
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    for (const std::size_t i : chosen) kept.push_back(points[i]);
  }
  return kept;
}

std::vector<Point> smoothed(const std::vector<Point>& points, std::size_t window, std::size_t most) {
  const std::size_t places = std::min(points.size(), most);
  std::vector<Point> medians;
  std::vector<double> around;
  for (std::size_t place = 0; place < places; ++place) {
    const std::size_t i = places > 1 ? place * (points.size() - 1) / (places - 1) : 0;
    const std::size_t before = std::min(window / 2, i);
    const std::size_t after = std::min(before, points.size() - 1 - i);
    around.clear();
    for (std::size_t k = i - before; k <= i + after; ++k) around.push_back(points[k].y);
    const auto middle = around.begin() + static_cast<std::ptrdiff_t>(around.size() / 2);
    std::nth_element(around.begin(), middle, around.end());
    medians.push_back({points[i].x, *middle});
  }
  return medians;
}

}  // namespace ulmfit::reports
