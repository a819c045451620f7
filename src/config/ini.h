// Config files: [section], key = value, # comments. A value in double quotes may hold anything; in it \" \\ \n \r stand for
// a quote, a backslash and line ends.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ulmfit::config {

struct IniSection {
  std::string name;  // empty: what stands before the first header
  std::vector<std::pair<std::string, std::string>> values;
};

// The sections of `text` in their order, those of one name apart. Throws ConfigError naming `file` and the line.
std::vector<IniSection> read_ini(const std::string& text, const std::string& file);

// All keys in their order, "section.key".
std::vector<std::pair<std::string, std::string>> flat(const std::vector<IniSection>& sections);

// What read_ini reads back as `value`: itself, or in quotes where it must be.
std::string ini_value(const std::string& value);

}  // namespace ulmfit::config
