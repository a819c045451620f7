// Pieces of report pages. All texts are plain.
#pragma once

#include <cstdint>
#include <string>

namespace ulmfit::reports {

// A figure to be read at a glance: its name, its value and what to know about it.
std::string tile_html(const std::string& name, const std::string& value, const std::string& detail);

// A cell of a table that names a class, however long: `attributes` begin with a blank.
std::string label_cell(const std::string& tag, const std::string& attributes, const std::string& label);

// "14 classes", or "12 of 14 classes".
std::string classes_told(std::int64_t seen, std::size_t all);

// A cell with a share as a percentage and a bar.
std::string share_cell(double share);

}  // namespace ulmfit::reports
