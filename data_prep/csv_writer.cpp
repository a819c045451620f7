#include "data_prep/csv_writer.h"

namespace ulmfit::data_prep {
namespace {

std::string quoted(const std::string& field, char delimiter) {
  if (field.find_first_of("\"\r\n") == field.npos && field.find(delimiter) == field.npos) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + '"';
}

}  // namespace

std::string csv_record(const std::vector<std::string>& fields, char delimiter) {
  std::string line;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) line += delimiter;
    line += quoted(fields[i], delimiter);
  }
  return line + '\n';
}

}  // namespace ulmfit::data_prep
