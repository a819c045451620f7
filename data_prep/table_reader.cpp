#include "data_prep/table_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data_prep/csv_reader.h"

namespace ulmfit::data_prep {
namespace {

bool is_number(const std::string& column) {
  return !column.empty() && column.size() < 7 && column.find_first_not_of("0123456789") == std::string::npos;
}

class DelimitedTable : public TableReader {
 public:
  DelimitedTable(const std::filesystem::path& path, char delimiter, const std::vector<std::string>& columns,
                 std::optional<bool> header, text::CleanCounts& cleaned)
      : records_(path, delimiter, cleaned) {
    const bool any_name = !std::all_of(columns.begin(), columns.end(), is_number);
    if (!records_.next(first_)) return;
    const bool has_header = header.value_or(any_name);
    if (!has_header && any_name) {
      throw ConfigError(
          str("columns of ", path.string(), " are given by name, but it is said to have no header; give numbers"));
    }
    for (const std::string& column : columns) chosen_.push_back(position(path, column, has_header));
    waiting_ = !has_header;
  }

  bool next(std::vector<std::string>& values) override {
    if (chosen_.empty() || (!waiting_ && !records_.next(first_))) return false;
    waiting_ = false;
    values.clear();
    for (const std::size_t i : chosen_) values.push_back(first_[i]);
    return true;
  }

  std::int64_t line_number() const override { return records_.line_number(); }

 private:
  std::size_t position(const std::filesystem::path& path, const std::string& column, bool has_header) const {
    if (is_number(column)) {
      const std::size_t number = std::stoul(column);
      if (number >= 1 && number <= first_.size()) return number - 1;
      throw DataError(str("cannot read column ", column, " of ", path.string(), ": it has columns 1 to ", first_.size()));
    }
    const auto found = std::find(first_.begin(), first_.end(), column);
    if (has_header && found != first_.end()) return static_cast<std::size_t>(found - first_.begin());
    throw DataError(str("cannot find column '", column, "' in ", path.string(), ": its first line has ", listed(),
                        "; give one of these, or numbers from 1 if it has no header"));
  }

  std::string listed() const {
    std::string list;
    for (const std::string& name : first_) list += str(list.empty() ? "" : ", ", "'", name.substr(0, 40), "'");
    return list;
  }

  CsvReader records_;
  std::vector<std::string> first_;
  std::vector<std::size_t> chosen_;
  bool waiting_ = false;  // first_ is a row not given yet
};

class JsonLines : public TableReader {
 public:
  JsonLines(const std::filesystem::path& path, const std::vector<std::string>& columns, text::CleanCounts& cleaned)
      : lines_(path, cleaned), columns_(columns) {}

  bool next(std::vector<std::string>& values) override {
    std::string line;
    do {
      if (!lines_.next(line)) return false;
    } while (line.find_first_not_of(" \t") == std::string::npos);
    const nlohmann::json row = nlohmann::json::parse(line, nullptr, false);
    if (!row.is_object()) throw DataError(str("cannot read ", place(), ": the line is not one JSON object"));
    values.clear();
    for (const std::string& column : columns_) values.push_back(value(row, column));
    return true;
  }

  std::int64_t line_number() const override { return lines_.line_number(); }

 private:
  std::string place() const { return str(lines_.path().string(), ":", lines_.line_number()); }

  std::string value(const nlohmann::json& row, const std::string& column) const {
    const auto found = row.find(column);
    if (found == row.end()) {
      std::string list;
      for (const auto& item : row.items()) list += str(list.empty() ? "" : ", ", "'", item.key(), "'");
      throw DataError(
          str("cannot find field '", column, "' at ", place(), ": the object has ", list.empty() ? "none" : list));
    }
    if (auto text = field_text(*found)) return *std::move(text);
    throw DataError(str("cannot read field '", column, "' at ", place(), ": expected a text, found ", found->type_name()));
  }

  LineReader lines_;
  std::vector<std::string> columns_;
};

}  // namespace

std::unique_ptr<TableReader> TableReader::open(const std::filesystem::path& path, TableFormat format,
                                               const std::vector<std::string>& columns, std::optional<bool> header,
                                               text::CleanCounts& cleaned) {
  if (format == TableFormat::kJsonl) return std::make_unique<JsonLines>(path, columns, cleaned);
  return std::make_unique<DelimitedTable>(path, format == TableFormat::kCsv ? ',' : '\t', columns, header, cleaned);
}

std::optional<std::string> field_text(const nlohmann::json& value) {
  text::CleanCounts escapes;  // "\r\n" in a JSON text is no defect of the file: not counted
  if (value.is_string()) return text::clean_utf8(value.get<std::string>(), escapes);
  if (value.is_null()) return std::string();
  if (value.is_structured()) return std::nullopt;
  return value.dump();
}

std::string join_fields(const std::vector<std::string>& fields, std::size_t count) {
  if (count == 1) return fields.front();
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += str(i == 0 ? "" : " ", "xxfld ", i + 1, " ", fields[i]);
  return text;
}

}  // namespace ulmfit::data_prep
