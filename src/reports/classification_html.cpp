#include "reports/classification_html.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "reports/calibration.h"
#include "reports/html_cells.h"
#include "reports/html_page.h"
#include "reports/number_format.h"
#include "reports/svg_chart.h"

namespace ulmfit::reports {
namespace {

constexpr std::size_t kNarrowMatrix = 8;   // classes; more take the whole width
constexpr std::int64_t kFewestInBin = 10;  // texts whose mean is drawn

// The darker, the larger the share of its row; a root, so that rare mistakes are seen.
std::string matrix_cell(std::int64_t count, std::int64_t support, bool hit) {
  if (count == 0) return "<td class=\"none\">·</td>";
  const double share = std::sqrt(static_cast<double>(count) / static_cast<double>(support));
  const std::string kind = std::string(hit ? "hit" : "") + (share > 0.7 ? " deep" : "");
  return "<td class=\"" + kind + "\" style=\"--share:" + fixed(share, 2) + "\">" + grouped(count) + "</td>";
}

std::string matrix_html(const Classification& result, const ClassificationMetrics& metrics) {
  const std::size_t classes = result.labels.size();
  std::string html = std::string("<section class=\"card") + (classes > kNarrowMatrix ? " wide" : "") +
                     "\"><h3>Confusion matrix</h3><p class=\"note\">Rows: the label given in the data. Columns: the "
                     "label predicted. Blue: right; orange: mistakes; the stronger, the larger the share of the row.</p>"
                     "<div class=\"scroll\"><table class=\"matrix\"><tr><th class=\"axis\">given ↓<br>predicted →</th>";
  for (const std::string& label : result.labels) html += label_cell("th", " scope=\"col\"", label);
  html += "</tr>\n";
  for (std::size_t given = 0; given < classes; ++given) {
    html += "<tr>" + label_cell("th", " scope=\"row\"", result.labels[given]);
    for (std::size_t predicted = 0; predicted < classes; ++predicted) {
      html += matrix_cell(result.confusion[given][predicted], metrics.classes[given].support, given == predicted);
    }
    html += "</tr>\n";
  }
  return html + "</table></div></section>\n";
}

std::string confusions_html(const Classification& result, const ClassificationMetrics& metrics) {
  const std::vector<Mistake> mistakes = frequent_mistakes(result.confusion, kShownMistakes);
  if (mistakes.empty()) return "";
  std::string html =
      "<section class=\"card\"><h3>Most frequent mistakes</h3><div class=\"scroll\"><table class=\"figures\">"
      "<tr><th class=\"name\">Given</th><th class=\"name\">Predicted</th><th>Texts</th><th>Of the given</th></tr>\n";
  for (const auto& [given, predicted, count] : mistakes) {
    const double share = static_cast<double>(count) / static_cast<double>(metrics.classes[given].support);
    html += "<tr>" + label_cell("td", " class=\"name\"", result.labels[given]) +
            label_cell("td", " class=\"name\"", result.labels[predicted]) + "<td>" + grouped(count) + "</td><td>" +
            percent(share) + "</td></tr>\n";
  }
  return html + "</table></div></section>\n";
}

std::string classes_html(const Classification& result, const ClassificationMetrics& metrics) {
  std::string html =
      "<section class=\"card\"><h3>By class</h3><p class=\"note\">Precision: of the texts predicted as this class, the "
      "share "
      "that is. Recall: of the texts given as this class, the share that is found. F1: their harmonic mean.</p>"
      "<div class=\"scroll\"><table class=\"figures\">"
      "<tr><th class=\"name\">Class</th><th>Precision</th><th>Recall</th><th>F1</th><th>Texts</th></tr>\n";
  for (std::size_t c = 0; c < result.labels.size(); ++c) {
    const ClassMetrics& f = metrics.classes[c];
    html += "<tr>" + label_cell("td", " class=\"name\"", result.labels[c]) + share_cell(f.precision) +
            share_cell(f.recall) + share_cell(f.f1) + "<td>" + grouped(f.support) + "</td></tr>\n";
  }
  return html + "</table></div></section>\n";
}

std::string words_html(const HardText& text) {
  if (text.words.empty()) return "";
  std::string html = " <small>\u2192 " + escape_html(text.predicted) + ":";
  for (const std::string& word : text.words) html += " <b>" + escape_html(word) + "</b>";
  return html + "</small>";
}

// The text below its figures, so that both fit on a phone.
std::string hardest_html(const std::vector<HardText>& texts) {
  if (texts.empty()) return "";
  std::string html =
      "<section class=\"card wide\"><h3>Texts with the highest loss</h3><p class=\"note\">The model gives their label the "
      "least probability: hard texts, or wrong labels. Loss: minus the natural logarithm of that probability. "
      "Probability: that of the predicted label. Each text is shown as the model reads it, xxunk for a word out "
      "of its vocabulary; behind it, the words that speak most for the label that it predicts.</p><table class=\"figures "
      "hard\">"
      "<tr><th class=\"name\">Given</th><th class=\"name\">Predicted</th><th>Probability</th><th>Loss</th></tr>\n";
  for (const HardText& t : texts) {
    html += "<tr>" + label_cell("td", " class=\"name\"", t.given) + label_cell("td", " class=\"name\"", t.predicted) +
            "<td>" + percent(t.probability) + "</td><td>" + fixed(t.loss, 2) +
            "</td></tr>\n<tr><td class=\"text\" colspan=\"4\">" +
            (t.place.empty() ? "" : "<small>" + escape_html(t.place) + "</small> ") + escape_html(t.text) + words_html(t) +
            "</td></tr>\n";
  }
  return html + "</table></section>\n";
}

// Bins of few texts would draw a zigzag of chance; where all have few, it is drawn.
std::vector<Point> reliability_points(const std::vector<Confidence>& answers) {
  std::vector<Point> points, of_few;
  for (const ReliabilityBin& bin : reliability_bins(answers)) {
    if (bin.texts == 0) continue;
    (bin.texts < kFewestInBin ? of_few : points).push_back({100 * bin.confidence, 100 * bin.accuracy});
  }
  return points.empty() ? of_few : points;
}

std::string reliability_html(const Calibration& calibration) {
  Chart chart;
  chart.title = "Can its probabilities be trusted?";
  chart.note =
      "Of the texts whose label got a probability of about x %, y % have that label. On the straight line the model is as "
      "sure "
      "as it should be; below it, it is too sure. Where fewer than 10 texts have about that probability, nothing is drawn.";
  chart.x_name = "probability, %";
  chart.unit = "% that are right";
  chart.from_zero = true;
  chart.series = {{"as sure as it should be", {{0, 0}, {100, 100}}, LineStyle::kFaint, 7},
                  {"this model", reliability_points(calibration.answers), LineStyle::kMarked, 0}};
  if (calibration.temperature) {
    chart.series.push_back({"at temperature " + fixed(*calibration.temperature, 2),
                            reliability_points(calibration.at_temperature), LineStyle::kMarked, 1});
  }
  return chart_html(chart);
}

std::string rejection_html(const Calibration& calibration) {
  const std::vector<Confidence>& answers = calibration.best();
  std::string html =
      "<section class=\"card\"><h3>Leaving the doubtful ones to people</h3><p class=\"note\">If texts whose label is less "
      "probable than this get no answer" +
      std::string(calibration.temperature ? ", with that temperature" : "") +
      ".</p><div class=\"scroll\"><table class=\"figures\">"
      "<tr><th>Probability</th><th>Answered</th><th>Error of the answers</th><th>95% interval</th></tr>\n";
  for (const double least : {0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99}) {
    const Rejection r = reject_below(answers, least);
    html += "<tr><td>" + (least == 0 ? "any" : percent(least, 0)) + "</td><td>" + percent(r.coverage) + "</td><td>" +
            (r.answered == 0 ? "" : percent(r.error)) + "</td><td>" +
            (r.answered == 0 ? "" : percent(r.error_interval.low) + " to " + percent(r.error_interval.high)) +
            "</td></tr>\n";
  }
  return html + "</table></div></section>\n";
}

std::string calibration_html(const Calibration& calibration) {
  if (calibration.answers.empty()) return "";
  return reliability_html(calibration) + rejection_html(calibration);
}

std::string calibration_tile(const Calibration& calibration) {
  if (calibration.answers.empty()) return "";
  std::string detail = "0%: as sure as it should be";
  if (calibration.temperature) {
    detail = percent(expected_calibration_error(calibration.at_temperature)) + " at temperature " +
             fixed(*calibration.temperature, 2);
  }
  return tile_html("Calibration error", percent(expected_calibration_error(calibration.answers)), detail);
}

}  // namespace

std::string classification_tiles(const Classification& result, const ClassificationMetrics& metrics) {
  if (metrics.texts == 0) return "";
  const Interval& interval = metrics.accuracy_interval;
  const ResampledIntervals resampled = resampled_intervals(result.confusion);
  return tile_html("Accuracy", percent(metrics.accuracy),
                   "95% interval " + fixed(100 * interval.low, 1) + " to " + percent(interval.high)) +
         calibration_tile(result.calibration) +
         tile_html("Macro F1", percent(metrics.macro_f1),
                   "mean over " + classes_told(metrics.classes_seen, result.labels.size()) + "; 95% interval " +
                       fixed(100 * resampled.macro_f1.low, 1) + " to " + percent(resampled.macro_f1.high)) +
         tile_html("MCC", fixed(metrics.mcc, 3),
                   "1: all right, 0: as by chance; 95% interval " + fixed(resampled.mcc.low, 3) + " to " +
                       fixed(resampled.mcc.high, 3));
}

std::string classification_sections(const Classification& result, const ClassificationMetrics& metrics) {
  if (metrics.texts == 0) return "";
  const bool narrow = result.labels.size() <= kNarrowMatrix && result.labels.size() > 2;
  std::string html = "<h2>Answers on the " + escape_html(result.split) + " texts</h2>\n<p class=\"lead\">" +
                     grouped(metrics.hits) + " of " + grouped(metrics.texts) +
                     " texts got the label that the data gives them: accuracy " + percent(metrics.accuracy) + ", error " +
                     percent(metrics.error) + ". From so many texts, the true accuracy is estimated to lie between " +
                     percent(metrics.accuracy_interval.low) + " and " + percent(metrics.accuracy_interval.high) +
                     " (95% interval).</p>\n<div class=\"grid answers" + (narrow ? " narrow" : "") + "\">\n";
  const std::string mistakes = result.labels.size() > 2 ? confusions_html(result, metrics) : "";
  const std::string classes = classes_html(result, metrics);
  // Without a matrix the mistakes come first: the table by class is long then.
  const bool has_matrix = result.labels.size() <= kLargestMatrix;
  html += has_matrix ? matrix_html(result, metrics) + classes + mistakes : mistakes + classes;
  return html + calibration_html(result.calibration) + hardest_html(result.hardest) + "</div>\n";
}

}  // namespace ulmfit::reports
