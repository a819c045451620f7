#include "data_prep/table_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "data_prep/json_fields.h"
#include "text/code_point.h"

namespace ulmfit::data_prep {
namespace {

// The delimiter that the line was probably written with, where nothing of it was split.
std::string delimiter_hint(const std::vector<std::string>& first, char delimiter) {
  if (first.size() != 1) return "";
  for (const auto& [other, name] :
       {std::pair(';', "';'"), std::pair('\t', "tab"), std::pair('|', "'|'"), std::pair(',', "','")}) {
    if (other != delimiter && first[0].find(other) != std::string::npos) {
      return str("; if its delimiter is ", name, ", give --delimiter ", name);
    }
  }
  return "";
}

class JsonLines : public TableReader {
 public:
  JsonLines(const std::filesystem::path& path, const std::vector<std::string>& columns, text::CleanCounts& cleaned,
            std::int64_t max_line_bytes)
      : lines_(path, cleaned, max_line_bytes), columns_(columns) {}

  bool next(std::vector<std::string>& values) override {
    std::string line;
    do {
      if (!lines_.next(line)) return false;
    } while (line.find_first_not_of(" \t") == std::string::npos);
    JsonFields fields = json_fields(line, columns_);
    if (!fields.defect.empty()) {
      throw DataError(str("cannot read ", lines_.path().string(), ":", lines_.line_number(), ": ", fields.defect));
    }
    values = std::move(fields.values);
    return true;
  }

  std::int64_t line_number() const override { return lines_.line_number(); }

 private:
  LineReader lines_;
  std::vector<std::string> columns_;
};

// A column whose name differs in capitals alone.
std::string capitals_hint(const std::vector<std::string>& names, const std::string& column) {
  const std::string wanted = text::to_lower(column);
  for (const std::string& name : names) {
    if (text::to_lower(name) == wanted) return str(" (did you mean '", name, "'?)");
  }
  return "";
}

}  // namespace

bool is_column_number(const std::string& column) {
  return !column.empty() && column.size() < 7 && column.find_first_not_of("0123456789") == std::string::npos;
}

DelimitedTable::DelimitedTable(const std::filesystem::path& path, TableFormat format,
                               const std::vector<std::string>& columns, const TableOptions& options,
                               text::CleanCounts& cleaned)
    : records_(path, format == TableFormat::kTsv ? '\t' : options.delimiter, cleaned, options.max_line_bytes) {
  const bool any_name = !std::all_of(columns.begin(), columns.end(), is_column_number);
  if (!records_.next(row_)) return;
  const bool has_header = options.header.value_or(any_name);
  if (!has_header && any_name) {
    throw ConfigError(
        str("columns of ", path.string(), " are given by name, but it is said to have no header; give numbers"));
  }
  for (const std::string& column : columns) chosen_.push_back(position(path, column, has_header, options));
  names_ = row_;
  for (std::size_t i = 0; !has_header && i < names_.size(); ++i) names_[i] = std::to_string(i + 1);
  waiting_ = !has_header;
}

bool DelimitedTable::next(std::vector<std::string>& values) {
  if (chosen_.empty() || (!waiting_ && !records_.next(row_))) return false;
  waiting_ = false;
  values.clear();
  for (const std::size_t i : chosen_) values.push_back(row_[i]);
  return true;
}

std::size_t DelimitedTable::position(const std::filesystem::path& path, const std::string& column, bool has_header,
                                     const TableOptions& options) const {
  if (is_column_number(column)) {
    const std::size_t number = std::stoul(column);
    if (number >= 1 && number <= row_.size()) return number - 1;
    throw DataError(str("cannot read column ", column, " of ", path.string(), ": it has columns 1 to ", row_.size(),
                        "; give another by ", options.column_options, delimiter_hint(row_, options.delimiter)));
  }
  const auto found = std::find(row_.begin(), row_.end(), column);
  if (has_header && found != row_.end()) {
    if (std::find(found + 1, row_.end(), column) == row_.end()) return static_cast<std::size_t>(found - row_.begin());
    throw DataError(str("cannot read column '", column, "' of ", path.string(),
                        ": several columns have that name; give the number of one by ", options.column_options));
  }
  throw DataError(str("cannot find column '", column, "' in ", path.string(), ": its first line has ", listed(),
                      capitals_hint(row_, column), "; give one of these by ", options.column_options,
                      ", or numbers from 1 if it has no header", delimiter_hint(row_, options.delimiter)));
}

std::string DelimitedTable::listed() const {
  std::string list;
  for (const std::string& name : row_) list += str(list.empty() ? "" : ", ", "'", name.substr(0, 40), "'");
  return list;
}

std::unique_ptr<TableReader> TableReader::open(const std::filesystem::path& path, TableFormat format,
                                               const std::vector<std::string>& columns, const TableOptions& options,
                                               text::CleanCounts& cleaned) {
  if (format == TableFormat::kJsonl) return std::make_unique<JsonLines>(path, columns, cleaned, options.max_line_bytes);
  return std::make_unique<DelimitedTable>(path, format, columns, options, cleaned);
}

std::string join_fields(const std::vector<std::string>& fields, std::size_t count) {
  if (count == 1) return fields.front();
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += str(i == 0 ? "" : " ", "xxfld ", i + 1, " ", fields[i]);
  return text;
}

bool all_blank(const std::vector<std::string>& fields, std::size_t count) {
  const auto end = fields.begin() + static_cast<std::ptrdiff_t>(count);
  return std::all_of(fields.begin(), end, [](const std::string& field) { return text::strip(field).empty(); });
}

}  // namespace ulmfit::data_prep
