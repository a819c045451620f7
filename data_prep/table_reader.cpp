#include "data_prep/table_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "data_prep/csv_reader.h"
#include "data_prep/json_fields.h"

namespace ulmfit::data_prep {
namespace {

bool is_number(const std::string& column) {
  return !column.empty() && column.size() < 7 && column.find_first_not_of("0123456789") == std::string::npos;
}

class DelimitedTable : public TableReader {
 public:
  DelimitedTable(const std::filesystem::path& path, char delimiter, const std::vector<std::string>& columns,
                 std::optional<bool> header, text::CleanCounts& cleaned, std::int64_t max_line_bytes)
      : records_(path, delimiter, cleaned, max_line_bytes) {
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

}  // namespace

std::unique_ptr<TableReader> TableReader::open(const std::filesystem::path& path, TableFormat format,
                                               const std::vector<std::string>& columns, std::optional<bool> header,
                                               text::CleanCounts& cleaned, std::int64_t max_line_bytes) {
  if (format == TableFormat::kJsonl) return std::make_unique<JsonLines>(path, columns, cleaned, max_line_bytes);
  const char delimiter = format == TableFormat::kCsv ? ',' : '\t';
  return std::make_unique<DelimitedTable>(path, delimiter, columns, header, cleaned, max_line_bytes);
}

std::string join_fields(const std::vector<std::string>& fields, std::size_t count) {
  if (count == 1) return fields.front();
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += str(i == 0 ? "" : " ", "xxfld ", i + 1, " ", fields[i]);
  return text;
}

}  // namespace ulmfit::data_prep
