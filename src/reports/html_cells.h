// Pieces of report pages. All texts are plain.
#pragma once

#include <string>

namespace ulmfit::reports {

// A figure to be read at a glance: its name, its value and what to know about it.
std::string tile_html(const std::string& name, const std::string& value, const std::string& detail);

// A cell of a table that names a class, however long: `attributes` begin with a blank.
std::string label_cell(const std::string& tag, const std::string& attributes, const std::string& label);

// A cell with a share as a percentage and a bar.
std::string share_cell(double share);

}  // namespace ulmfit::reports
