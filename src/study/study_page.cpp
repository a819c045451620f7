// study.html: the figures first, then the tables, then what each cell did.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "reports/html_cells.h"
#include "reports/html_page.h"
#include "reports/mean_interval.h"
#include "reports/number_format.h"
#include "reports/svg_chart.h"
#include "study/figures.h"

namespace ulmfit::study {
namespace {

using reports::escape_html;

std::size_t count_of(const std::vector<Result>& results, State state) {
  return static_cast<std::size_t>(
      std::count_if(results.begin(), results.end(), [state](const Result& r) { return r.state == state; }));
}

std::int64_t seeds_of(const std::vector<Result>& results) {
  std::int64_t seeds = 1;
  for (const Result& r : results) seeds = std::max(seeds, r.cell.seed);
  return seeds;
}

std::string tiles(const std::vector<Result>& results) {
  double seconds = 0;
  std::int64_t texts = 0;
  for (const Result& r : results) {
    seconds += r.record.seconds;
    texts = std::max(texts, r.test_texts);
  }
  const std::size_t done = count_of(results, State::kDone);
  const std::size_t broken = count_of(results, State::kBroken) + count_of(results, State::kBlocked);
  std::string html = reports::tile_html("Cells done", str(done, " of ", results.size()), "a cell is one run of the study");
  if (broken > 0) html += reports::tile_html("Broken", str(broken), "listed at the end, with what they said");
  html += reports::tile_html("Seeds", str(seeds_of(results)), "runs of each setting");
  html += reports::tile_html("Test texts", reports::grouped(texts), "each error is measured on these");
  return "<div class=\"tiles\">\n" + html +
         reports::tile_html("Time", reports::duration(seconds), "of all cells together") + "</div>\n";
}

std::string paragraphs(const std::vector<std::string>& notes) {
  std::string html;
  for (const std::string& note : notes) html += "<p class=\"note\">" + escape_html(note) + "</p>\n";
  return html;
}

// An error behind which its interval stands smaller.
std::string figure_cell(const std::string& text) {
  const std::size_t bracket = text.find(" (");
  if (bracket == std::string::npos) return "<td>" + escape_html(text) + "</td>";
  return "<td>" + escape_html(text.substr(0, bracket)) + " <small>" + escape_html(text.substr(bracket + 1)) +
         "</small></td>";
}

std::string table_html(const FilledTable& table, bool wide) {
  std::string html =
      str("<section class=\"card", wide ? " wide" : "", "\"><h3>", escape_html(table.title), "</h3><p class=\"note\">",
          escape_html(table.note), "</p><div class=\"scroll\"><table class=\"figures\"><tr>");
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    html += str(i == 0 ? "<th class=\"name\">" : "<th>", escape_html(table.columns[i]), "</th>");
  }
  html += "</tr>\n";
  for (const auto& row : table.rows) {
    html += "<tr><td class=\"name\">" + escape_html(row[0]) + "</td>";
    for (std::size_t i = 1; i < row.size(); ++i) html += figure_cell(row[i]);
    html += "</tr>\n";
  }
  return html + "</table></div></section>\n";
}

std::string low_shot_chart(const std::vector<Result>& results, const Table& table) {
  reports::Chart chart;
  chart.title = "Error by number of labels";
  chart.note =
      "Error on the test texts of what was trained on so many labelled texts: lower is better. Bars: 95 % intervals.";
  chart.x_name = "labelled texts";
  chart.unit = "%";
  chart.from_zero = true;
  chart.log_x = true;
  chart.wide = true;
  std::set<std::int64_t> labels;
  for (const Result& r : results) {
    if (r.cell.labels > 0) labels.insert(r.cell.labels);
  }
  const auto add = [&](const std::string& name, const std::string& setting, int color, const Measure& measure) {
    reports::Series series{name, {}, reports::LineStyle::kMarked, color};
    for (const std::int64_t n : labels) {
      const Figure figure = figure_of(results, setting, n, measure);
      if (figure.runs == 0) continue;
      series.points.push_back({static_cast<double>(n), 100 * figure.mean});
      series.spread.push_back({100 * figure.interval.low, 100 * figure.interval.high});
    }
    chart.series.push_back(std::move(series));
  };
  int color = 0;
  for (const Row& row : table.rows) add(row.label, row.setting, color++, [](const Result& r) { return r.error; });
  add("naive Bayes of word counts", "scratch", 7, [](const Result& r) { return r.naive_bayes; });
  return reports::chart_html(chart);
}

// The mean over the seeds that are done at each epoch that all of these have, and its interval; their number is told if it
// is not all.
reports::Series mean_curve(const StudyFolder& folder, const std::vector<Result>& results, const std::string& name,
                           const std::string& setting, int color) {
  std::vector<std::vector<reports::Point>> curves;
  std::size_t cells = 0;
  for (const Result& r : results) {
    if (r.cell.setting != setting) continue;
    ++cells;
    if (r.state == State::kDone) curves.push_back(error_by_epoch(folder, r.cell.name));
  }
  reports::Series mean{name, {}, reports::LineStyle::kMarked, color};
  if (curves.size() < cells) mean.name += str(" (", curves.size(), " of ", cells, " seeds)");
  std::size_t epochs = curves.empty() ? 0 : curves.front().size();
  for (const auto& curve : curves) epochs = std::min(epochs, curve.size());
  for (std::size_t i = 0; i < epochs; ++i) {
    double epoch = 0;
    std::vector<double> errors;
    for (const auto& curve : curves) {
      epoch += curve[i].x / static_cast<double>(curves.size());
      errors.push_back(curve[i].y);
    }
    const reports::MeanInterval m = reports::mean_interval(errors);
    mean.points.push_back({epoch, m.mean});
    if (curves.size() > 1) {
      mean.spread.push_back({std::max(m.interval.low, 0.0), std::min(m.interval.high, 100.0)});
    }
  }
  return mean;
}

std::string behaviour_chart(const StudyFolder& folder, const std::vector<Result>& results) {
  reports::Chart chart;
  chart.title = "Error by epoch: all layers at once, and ULMFiT";
  chart.note =
      "Error on the validation texts after each epoch, mean of the seeds with its 95 % interval. Where all layers are "
      "tuned at once (full) the "
      "error "
      "may rise again: what was learned before is forgotten. ULMFiT (freez + discr + stlr) should stay flat.";
  chart.x_name = "epoch";
  chart.unit = "%";
  chart.from_zero = true;
  chart.wide = true;
  chart.series = {mean_curve(folder, results, "full", "full", 1), mean_curve(folder, results, "ULMFiT", "ulmfit", 0)};
  return reports::chart_html(chart);
}

std::string cells_html(const StudyFolder& folder, const std::vector<Result>& results) {
  std::string broken, all;
  for (const Result& r : results) {
    const std::string name = "<tr><td class=\"name\">" + escape_html(r.cell.name) + "</td>";
    all += name + "<td>" + name_of(r.state) + "</td><td>" + (r.error ? reports::percent(*r.error, 2) : "") + "</td><td>" +
           (r.record.seconds > 0 ? reports::duration(r.record.seconds) : "") + "</td></tr>\n";
    if (r.state != State::kBroken && r.state != State::kBlocked) continue;
    const std::string why = r.state == State::kBlocked ? "a cell that it needs is broken"
                                                       : str("exit code ", r.record.exit_code, ": ", r.record.message, " (",
                                                             (folder.cell(r.cell.name) / "log.txt").string(), ")");
    broken += name + "<td class=\"name\">" + escape_html(why) + "</td></tr>\n";
  }
  std::string html = "<h2>Cells</h2>\n";
  if (!broken.empty()) {
    html +=
        "<section class=\"card\"><h3>Broken</h3><p class=\"note\">The same command tries them again.</p><div "
        "class=\"scroll\"><table class=\"figures\">" +
        broken + "</table></div></section>\n";
  }
  return html +
         "<details class=\"card\"><summary>All cells</summary><div class=\"scroll\"><table class=\"figures\"><tr><th "
         "class=\"name\">Cell</th><th>State</th><th>Error</th><th>Time</th></tr>\n" +
         all + "</table></div></details>\n";
}

}  // namespace

std::string study_page(const StudyFolder& folder, const Study& study, const std::vector<Result>& results) {
  const bool low_shot = study.kind == kLowShot;
  const std::string title = low_shot ? "How many labels are needed?" : "What does each part bring?";
  const std::string lead =
      low_shot
          ? "One text classifier trained on few labelled texts and on more. From scratch: it starts from nothing. "
            "Supervised: from a language model that was tuned on the labelled texts alone. Semi-supervised: from one "
            "that was tuned on all texts, labelled or not."
          : "ULMFiT tunes a pretrained language model on the texts, and a classifier on top of it. Each table leaves one "
            "part of that out, or puts another in its place; all else stays the same.";
  const std::string intervals =
      seeds_of(results) > 1
          ? "Errors are shares of the test texts, means over the seeds; in brackets the 95 % interval within which the "
            "mean of "
            "many seeds may lie, on these test texts (Student's t). Where a single run is left, it is the interval of its "
            "error "
            "on other test texts (Wilson)."
          : "Errors are shares of the test texts; in brackets the 95 % interval within which the error of this run may lie "
            "on "
            "other test texts (Wilson). What other seeds would reach it does not tell: give --seeds 3 or more for that.";
  std::string body = "<h1>" + title + "</h1>\n<p class=\"stage\">ulmfit study " + escape_html(study.kind) + ", " +
                     escape_html(folder.path().string()) + "</p>\n" + tiles(results) + "<section class=\"card\">" +
                     paragraphs({lead, intervals}) + "</section>\n<h2>Figures</h2>\n<div class=\"grid\">\n";
  body += low_shot ? low_shot_chart(results, study.tables.front()) : behaviour_chart(folder, results);
  body += "</div>\n<h2>Tables</h2>\n<div class=\"grid\">\n";
  for (const FilledTable& table : tables_of(study, results)) body += table_html(table, low_shot);
  body += "</div>\n<h2>How it was done</h2>\n<section class=\"card\">" + paragraphs(study.notes) + "</section>\n";
  body += cells_html(folder, results) +
          "<h2>Settings</h2>\n<details class=\"card\"><summary>What was asked</summary><pre>" + escape_html(study.config) +
          "</pre></details>\n";
  return reports::html_page("ulmfit study " + study.kind, body);
}

}  // namespace ulmfit::study
