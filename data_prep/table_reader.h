// Chosen columns of a table: CSV and TSV (by name or 1-based number) and JSON lines (fields by name).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/read_line.h"
#include "data_prep/csv_reader.h"
#include "text/utf8.h"

namespace ulmfit::data_prep {

enum class TableFormat { kCsv, kTsv, kJsonl };

// How the lines of a table are read.
struct TableOptions {
  std::optional<bool> header;  // CSV, TSV: the first record is one; not given: if any column is asked for by a name
  char delimiter = ',';        // CSV
  std::int64_t max_line_bytes = kMaxLineBytes;
  std::string_view column_options = "--text-column";  // by which columns are given: for messages
};

// A column is given by its number: all digits.
bool is_column_number(const std::string& column);

class TableReader {
 public:
  virtual ~TableReader() = default;

  // The values of the chosen columns, in the order they were asked for; false at the end. Throws DataError with file:line.
  virtual bool next(std::vector<std::string>& values) = 0;
  virtual std::int64_t line_number() const = 0;  // where the last row begins

  // Columns are names, or (CSV, TSV) all digits: 1-based numbers. Throws DataError listing the columns there are when one
  // is missing, and ConfigError for names where there is said to be no header. JSON lines are read by json_fields().
  // `cleaned` must outlive the reader.
  static std::unique_ptr<TableReader> open(const std::filesystem::path& path, TableFormat format,
                                           const std::vector<std::string>& columns, const TableOptions& options,
                                           text::CleanCounts& cleaned);
};

// A CSV or TSV file.
class DelimitedTable : public TableReader {
 public:
  // As open().
  DelimitedTable(const std::filesystem::path& path, TableFormat format, const std::vector<std::string>& columns,
                 const TableOptions& options, text::CleanCounts& cleaned);

  bool next(std::vector<std::string>& values) override;
  std::int64_t line_number() const override { return records_.line_number(); }

  // All columns: their names, or numbers from 1 if there is no header; and the values of the last row.
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<std::string>& row() const { return row_; }

 private:
  std::size_t position(const std::filesystem::path& path, const std::string& column, bool has_header,
                       const TableOptions& options) const;
  std::string listed() const;

  CsvReader records_;
  std::vector<std::string> names_;
  std::vector<std::string> row_;
  std::vector<std::size_t> chosen_;
  bool waiting_ = false;  // row_ is the first record, which is not given yet
};

// One text of several columns, as fastai marks them: "xxfld 1 A xxfld 2 B"; a single column stays as it is.
std::string join_fields(const std::vector<std::string>& fields, std::size_t count);
bool all_blank(const std::vector<std::string>& fields, std::size_t count);

}  // namespace ulmfit::data_prep
