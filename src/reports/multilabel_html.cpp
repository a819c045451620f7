#include "reports/multilabel_html.h"

#include "reports/html_cells.h"
#include "reports/html_page.h"
#include "reports/number_format.h"

namespace ulmfit::reports {
namespace {

std::string classes_html(const Multilabel& decided, const MultilabelMetrics& metrics) {
  std::string html =
      "<section class=\"card wide\"><h3>By class</h3><p class=\"note\">A text is said to have a class whose probability is "
      "at or above the threshold, which was chosen on the validation texts. Precision: of the texts that are said to have "
      "the class, the share that do. Recall: of the texts that have it, the share that is found. F1: their harmonic "
      "mean.</p>"
      "<div class=\"scroll\"><table class=\"figures\"><tr><th class=\"name\">Class</th><th>Threshold</th><th>Precision</th>"
      "<th>Recall</th><th>F1</th><th>Texts</th><th>Predicted</th></tr>\n";
  for (std::size_t c = 0; c < decided.labels.size(); ++c) {
    const ClassMetrics& f = metrics.classes[c];
    html += "<tr>" + label_cell("td", " class=\"name\"", decided.labels[c]) + "<td>" + fixed(decided.thresholds[c], 3) +
            "</td>" + share_cell(f.precision) + share_cell(f.recall) + share_cell(f.f1) + "<td>" + grouped(f.support) +
            "</td><td>" + grouped(f.predicted) + "</td></tr>\n";
  }
  return html + "</table></div></section>\n";
}

}  // namespace

std::string multilabel_tiles(const Multilabel& decided, const MultilabelMetrics& metrics) {
  if (decided.texts == 0) return "";
  const Interval& interval = metrics.whole_interval;
  return tile_html("Wrong decisions", percent(metrics.error), "one a text and class") +
         tile_html("Texts wholly right", percent(metrics.whole_accuracy),
                   "95% interval " + fixed(100 * interval.low, 1) + " to " + percent(interval.high)) +
         tile_html("Micro F1", percent(metrics.micro_f1), "of all decisions together") +
         tile_html("Macro F1", percent(metrics.macro_f1),
                   "mean over " + classes_told(metrics.classes_seen, decided.labels.size()));
}

std::string multilabel_sections(const Multilabel& decided, const MultilabelMetrics& metrics) {
  if (decided.texts == 0) return "";
  return "<h2>Answers on the " + escape_html(decided.split) + " texts</h2>\n<p class=\"lead\">" + grouped(decided.whole) +
         " of " + grouped(decided.texts) + " texts got all the labels that the data gives them, and no other; " +
         percent(metrics.error) + " of the decisions whether a text has a class are wrong.</p>\n<div class=\"grid\">\n" +
         classes_html(decided, metrics) + "</div>\n";
}

}  // namespace ulmfit::reports
