#include "reports/comparison.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "reports/html_page.h"
#include "reports/number_format.h"
#include "reports/svg_chart.h"

namespace ulmfit::reports {
namespace {

using Row = std::vector<std::string>;

// Runs of one kind are compared with one another; kinds in the order in which they come.
std::vector<std::vector<ComparedRun>> by_kind(const std::vector<ComparedRun>& runs) {
  std::vector<std::vector<ComparedRun>> kinds;
  for (const ComparedRun& run : runs) {
    const auto same = [&](const auto& kind) { return kind.front().names.headline_title == run.names.headline_title; };
    auto kind = std::find_if(kinds.begin(), kinds.end(), same);
    if (kind == kinds.end()) kind = kinds.insert(kinds.end(), std::vector<ComparedRun>());
    kind->push_back(run);
  }
  return kinds;
}

// Name, then a value a run.
std::vector<Row> figure_rows(const std::vector<ComparedRun>& runs) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < runs.front().figures.size(); ++i) {
    Row row{runs.front().figures[i].first};
    for (const ComparedRun& run : runs) row.push_back(run.figures.at(i).second);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> setting_rows(const std::vector<ComparedRun>& runs) {
  std::vector<Row> rows;
  for (const SettingRow& setting : differing_settings(runs)) {
    Row row{setting.key};
    row.insert(row.end(), setting.values.begin(), setting.values.end());
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string table_html(const std::string& title, const std::vector<ComparedRun>& runs, const std::vector<Row>& rows) {
  std::string html = "<section class=\"card wide\"><h3>" + title +
                     "</h3><div class=\"scroll\"><table class=\"figures\"><tr><th class=\"name\"></th>";
  for (const ComparedRun& run : runs) html += "<th>" + escape_html(run.name) + "</th>";
  html += "</tr>\n";
  for (const Row& row : rows) {
    html += "<tr><td class=\"name\">" + escape_html(row[0]) + "</td>";
    for (std::size_t i = 1; i < row.size(); ++i) html += "<td>" + escape_html(row[i]) + "</td>";
    html += "</tr>\n";
  }
  return html + "</table></div></section>\n";
}

template <class Reports, class Value>
std::vector<Point> points_of(const Reports& reports, const Value& value) {
  std::vector<Point> points;
  for (const auto& r : reports) {
    if (const double y = value(r); std::isfinite(y) && std::isfinite(r.epoch)) points.push_back({r.epoch, y});
  }
  return points;
}

template <class PointsOf>
std::string chart_of(const std::vector<ComparedRun>& runs, Chart chart, const PointsOf& points) {
  chart.x_name = "epoch";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    chart.series.push_back({runs[i].name, points(runs[i]), LineStyle::kLine, static_cast<int>(i)});
  }
  return chart_html(chart);
}

// Of runs of one kind.
std::string charts_html(const std::vector<ComparedRun>& runs) {
  const MetricNames& kind = runs.front().names;
  const std::string headline(kind.headline);
  const auto evaluated = [](const std::string& name, double scale) {
    return [name, scale](const ComparedRun& run) {
      return points_of(run.history.valid, [&](const EvaluationReport& r) {
        const auto found = r.values.find(name);
        return r.split == "valid" && found != r.values.end() ? scale * found->second : std::nan("");
      });
    };
  };
  Chart reached, valid, train;
  reached.title = kind.headline_title;
  reached.note = kind.headline_note;
  reached.unit = kind.headline_is_share ? "%" : "";
  valid.title = "Validation loss";
  valid.note = "On texts that were not trained on: lower is better.";
  train.title = "Training loss";
  train.note = "Smoothed.";
  valid.unit = train.unit = str("nats a ", kind.target);
  const auto losses = [](const ComparedRun& run) {
    const auto raw = points_of(run.history.train, [](const StepReport& r) { return r.loss; });
    return raw.size() < 20 ? raw : smoothed(raw, std::max<std::size_t>(5, raw.size() / 40));
  };
  return chart_of(runs, reached, evaluated(headline, kind.headline_is_share ? 100 : 1)) +
         chart_of(runs, valid, evaluated("loss", 1)) + chart_of(runs, train, losses);
}

std::string body_html(const std::vector<ComparedRun>& runs) {
  const std::vector<Row> settings = setting_rows(runs);
  return "<div class=\"grid\">\n" + table_html("What they reached", runs, figure_rows(runs)) +
         (settings.empty() ? "" : table_html("What they differ in", runs, settings)) + charts_html(runs) + "</div>\n";
}

std::string text_rows(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i] + (i + 1 == row.size() ? "" : std::string(widths[i] + 2 - row[i].size(), ' '));
    }
    text += '\n';
  }
  return text;
}

}  // namespace

std::vector<SettingRow> differing_settings(const std::vector<ComparedRun>& runs) {
  std::vector<SettingRow> rows;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    for (const auto& [key, value] : runs[r].settings) {
      auto row = std::find_if(rows.begin(), rows.end(), [&key = key](const SettingRow& s) { return s.key == key; });
      if (row == rows.end()) row = rows.insert(row, {key, std::vector<std::string>(runs.size())});
      std::string& cell = row->values[r];
      cell += (cell.empty() ? "" : " ") + value;
    }
  }
  std::erase_if(rows, [](const SettingRow& row) {
    return std::all_of(row.values.begin(), row.values.end(), [&](const std::string& v) { return v == row.values[0]; });
  });
  return rows;
}

std::string comparison_text(const std::vector<ComparedRun>& all) {
  std::string text;
  for (const std::vector<ComparedRun>& runs : by_kind(all)) {
    Row names{""};
    for (const ComparedRun& run : runs) names.push_back(run.name);
    std::vector<Row> rows{names};
    for (Row& row : figure_rows(runs)) rows.push_back(std::move(row));
    std::vector<Row> settings = setting_rows(runs);
    if (!settings.empty()) rows.push_back({""});
    for (Row& row : settings) rows.push_back(std::move(row));
    text += (text.empty() ? "" : "\n\n") + text_rows(rows);
  }
  return text;
}

void write_comparison(const fs::path& folder, const std::vector<ComparedRun>& runs,
                      const std::vector<std::pair<std::string, std::string>>& evaluations) {
  std::string body = "<h1>Comparison of " + std::to_string(runs.size()) +
                     " runs</h1>\n<p class=\"stage\">each kind of model by itself" +
                     (evaluations.empty() ? "" : ", below what was measured with them") + "</p>\n";
  if (!evaluations.empty()) {
    body += "<section class=\"card\"><dl class=\"facts\">\n";
    for (const auto& [name, found] : evaluations)
      body += "<div><dt>" + escape_html(name) + "</dt><dd>" + escape_html(found) + "</dd></div>\n";
    body += "</dl></section>\n";
  }
  for (const std::vector<ComparedRun>& kind : by_kind(runs)) {
    body += "<h2>" + std::string(kind.front().names.headline_title) + "</h2>\n" + body_html(kind);
  }
  make_directories(folder);
  write_file_atomic(folder / "report.html", html_page("comparison", body));
}

}  // namespace ulmfit::reports
