#include "reports/html_cells.h"

#include "reports/html_page.h"
#include "reports/number_format.h"

namespace ulmfit::reports {

std::string tile_html(const std::string& name, const std::string& value, const std::string& detail) {
  return "<div class=\"card tile\"><span>" + escape_html(name) + "</span><b>" + escape_html(value) + "</b><small>" +
         escape_html(detail) + "</small></div>\n";
}

std::string label_cell(const std::string& tag, const std::string& attributes, const std::string& label) {
  const std::string escaped = escape_html(label);
  return "<" + tag + attributes + " title=\"" + escaped + "\"><div class=\"label\">" + escaped + "</div></" + tag + ">";
}

std::string classes_told(std::int64_t seen, std::size_t all) {
  const bool whole = seen == static_cast<std::int64_t>(all);
  return (whole ? "" : std::to_string(seen) + " of ") + std::to_string(all) + " classes";
}

std::string share_cell(double share) {
  return "<td class=\"bar\" style=\"--share:" + percent(share) + "\">" + percent(share) + "</td>";
}

}  // namespace ulmfit::reports
