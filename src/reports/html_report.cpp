#include "reports/html_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "base/error.h"
#include "reports/classification_html.h"
#include "reports/html_cells.h"
#include "reports/html_page.h"
#include "reports/metrics.h"
#include "reports/multilabel_html.h"
#include "reports/number_format.h"
#include "reports/svg_chart.h"

namespace ulmfit::reports {
namespace {

constexpr std::string_view kDoubt = "doubt";  // in the summary
constexpr std::size_t kSmoothFrom = 40;       // reports; fewer are shown as they are

template <class Value>
std::vector<Point> points_of(const std::vector<StepReport>& train, const Value& value) {
  std::vector<Point> points;
  for (const StepReport& r : train) {
    if (const double y = value(r); std::isfinite(y)) points.push_back({static_cast<double>(r.step), y});
  }
  return points;
}

// The curve as it was, faint, and its running median before it; short curves as they are.
std::vector<Series> raw_and_smoothed(const std::string& name, const std::vector<Point>& points, int color) {
  if (points.size() < kSmoothFrom) return {{name, points, LineStyle::kMarked, color}};
  const std::size_t window = std::max<std::size_t>(5, points.size() / 40);
  return {{name + ", each report", points, LineStyle::kFaint, color},
          {name + ", smoothed", smoothed(points, window), LineStyle::kLine, color}};
}

// One curve a split of the value `name` in the evaluations, times `scale`.
std::vector<Series> evaluations(const MetricsHistory& history, const std::string& name, double scale, int first_color) {
  std::map<std::string, std::vector<Point>> by_split;
  for (const EvaluationReport& r : history.valid) {
    if (const auto value = r.values.find(name); value != r.values.end()) {
      by_split[r.split].push_back({static_cast<double>(r.step), scale * value->second});
    }
  }
  std::vector<Series> series;
  series.reserve(by_split.size());
  for (const auto& [split, points] : by_split) {
    series.push_back({split == "valid" ? "validation" : split, points, LineStyle::kMarked, first_color++});
  }
  return series;
}

// Where a new phase of the unfreezing plan begins; the first is 1 for the reader.
std::vector<Point> phase_marks(const std::vector<StepReport>& train) {
  std::vector<Point> marks;
  for (std::size_t i = 1; i < train.size(); ++i) {
    if (train[i].phase <= train[i - 1].phase) continue;
    marks.push_back({static_cast<double>(train[i - 1].step), static_cast<double>(train[i].phase + 1)});
  }
  return marks;
}

Chart loss_chart(const MetricsHistory& history, const MetricNames& names) {
  Chart chart;
  chart.title = "Loss";
  chart.unit = str("nats a ", names.target);
  chart.note =
      "How badly the model predicts: lower is better. If validation rises while training falls, it learns by heart.";
  chart.x_name = "step";
  chart.wide = true;
  chart.series = raw_and_smoothed("training", points_of(history.train, [](const StepReport& r) { return r.loss; }), 0);
  for (Series& series : evaluations(history, "loss", 1, 1)) chart.series.push_back(std::move(series));
  return chart;
}

Chart headline_chart(const MetricsHistory& history, const MetricNames& names) {
  Chart chart;
  chart.x_name = "step";
  chart.title = names.headline_title;
  chart.note = names.headline_note;
  if (names.headline_is_share) chart.unit = "%";
  chart.series = evaluations(history, std::string(names.headline), names.headline_is_share ? 100 : 1, 1);
  return chart;
}

// One curve a layer group, in the order of the groups; a single one where all have the same rates.
Chart learning_rate_chart(const std::vector<StepReport>& train) {
  Chart chart;
  chart.title = "Learning rate";
  chart.note = "How far a step moves each layer group; 0: frozen.";
  chart.x_name = "step";
  chart.from_zero = true;
  bool all_alike = true;
  for (const StepReport& r : train) {
    for (std::size_t i = 0; i < r.lr.size(); ++i) {
      all_alike = all_alike && r.lr[i] == r.lr[0];
      auto found =
          std::find_if(chart.series.begin(), chart.series.end(), [&](const Series& s) { return s.name == r.groups[i]; });
      if (found == chart.series.end()) {
        const int color = static_cast<int>(chart.series.size());
        found = chart.series.insert(found, {r.groups[i], {}, LineStyle::kLine, color});
      }
      found->points.push_back({static_cast<double>(r.step), r.lr[i]});
    }
  }
  if (all_alike && chart.series.size() > 1) {
    chart.series.resize(1);
    chart.series[0].name = "all layer groups";
    chart.note = "How far a step moves the weights; the same for all layer groups.";
  }
  return chart;
}

Chart throughput_chart(const std::vector<StepReport>& train, const MetricNames& names) {
  Chart chart;
  chart.title = "Throughput";
  chart.unit = str(names.target, "s/s");
  chart.note = "A drop means that the machine was busy with something else, or waited for data.";
  chart.x_name = "step";
  chart.from_zero = true;
  chart.series = raw_and_smoothed("rate", points_of(train, [](const StepReport& r) { return r.rate; }), 2);
  return chart;
}

Chart gradient_chart(const std::vector<StepReport>& train) {
  Chart chart;
  chart.title = "Gradient norm";
  chart.note = "Before clipping. Peaks far above the rest are a sign of a learning rate that is too high.";
  chart.x_name = "step";
  chart.series = raw_and_smoothed("norm", points_of(train, [](const StepReport& r) { return r.grad_norm; }), 6);
  return chart;
}

// What evaluates a finished model has no history.
std::string charts_html(const MetricsHistory& history, const MetricNames& names, bool evaluated) {
  Chart charts[] = {loss_chart(history, names), headline_chart(history, names), learning_rate_chart(history.train),
                    throughput_chart(history.train, names), gradient_chart(history.train)};
  std::string html;
  for (Chart& chart : charts) {
    chart.marks = phase_marks(history.train);
    chart.mark_name = "phase";
    html += chart_html(chart);
  }
  if (html.empty() && evaluated) return "";
  if (html.empty())
    html = "<p class=\"card note wide\">No reports of training yet: metrics.jsonl is empty or missing.</p>\n";
  return "<h2>Training</h2>\n<div class=\"grid\">\n" + html + "</div>\n";
}

std::string progress_tiles(const MetricsHistory& history, const MetricNames& names) {
  std::string html;
  if (const EvaluationReport* best = history.best(names); best != nullptr) {
    html += tile_html(str("Best validation: ", names.headline), headline_text(names, best->values),
                      str(names.headline_is_share && !names.best_by_headline ? "where the loss was lowest: " : "", "step ",
                          grouped(best->step), ", epoch ", fixed(best->epoch, 2)));
  }
  if (history.train.empty()) return html;
  const StepReport& last = history.train.back();
  html +=
      tile_html("Training loss", last.loss < 0.1 ? fixed(last.loss, 4) : significant(last.loss, 4), "at the last report");
  html += tile_html("Steps", grouped(last.step), "epoch " + fixed(last.epoch, 2));
  double rate = 0;
  std::size_t counted = 0;
  for (const StepReport& r : history.train) {
    if (!std::isfinite(r.rate)) continue;
    rate += r.rate;
    ++counted;
  }
  const std::string speed = counted > 0 ? per_second(rate / static_cast<double>(counted), str(names.target, "s")) : "";
  return html + tile_html("Training time", duration(last.elapsed_seconds), speed);
}

// What makes the figures doubtful, apart.
std::string doubts_html(const ReportInfo& info) {
  std::string items;
  for (const auto& [name, value] : info.summary) {
    if (name == kDoubt) items += "<li>" + escape_html(value) + "</li>\n";
  }
  if (items.empty()) return "";
  return "<section class=\"card doubts\"><h3>What makes these figures doubtful</h3><ul>\n" + items + "</ul></section>\n";
}

std::string summary_html(const ReportInfo& info) {
  if (info.summary.empty()) return "";
  std::string html = "<section class=\"card\"><dl class=\"facts\">\n";
  for (const auto& [name, value] : info.summary) {
    if (name == kDoubt) continue;
    html += "<div><dt>" + escape_html(name) + "</dt><dd>" + escape_html(value) + "</dd></div>\n";
  }
  return html + "</dl></section>\n";
}

void check_classification(const Classification& c) {
  if (c.labels.size() == c.confusion.size()) return;
  throw std::invalid_argument(str("report: ", c.labels.size(), " labels, but a confusion matrix of ", c.confusion.size()));
}

}  // namespace

void write_html_report(const fs::path& run_folder, const ReportInfo& info) {
  const MetricsHistory history = read_metrics(run_folder / "metrics.jsonl", info.names);
  std::string body = "<h1>" + escape_html(info.title) + "</h1>\n<p class=\"stage\">" + escape_html(info.stage) + "</p>\n";
  std::string tiles;
  std::string answers;
  if (info.classification) {
    check_classification(*info.classification);
    const ClassificationMetrics metrics = classification_metrics(info.classification->confusion);
    tiles = classification_tiles(*info.classification, metrics);
    answers = classification_sections(*info.classification, metrics);
  }
  if (info.multilabel) {
    const MultilabelMetrics metrics = multilabel_metrics(*info.multilabel);
    tiles = multilabel_tiles(*info.multilabel, metrics);
    answers = multilabel_sections(*info.multilabel, metrics);
  }
  tiles += progress_tiles(history, info.names);
  if (!tiles.empty()) body += "<div class=\"tiles\">\n" + tiles + "</div>\n";
  body += summary_html(info) + doubts_html(info) + answers +
          charts_html(history, info.names, info.classification || info.multilabel);
  if (!info.config_text.empty()) {
    body += "<h2>Settings</h2>\n<details class=\"card\"><summary>The whole configuration</summary><pre>" +
            escape_html(info.config_text) + "</pre></details>\n";
  }
  write_file_atomic(run_folder / "report.html", html_page(info.title, body));
}

}  // namespace ulmfit::reports
