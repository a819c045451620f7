// Chosen columns of a table: CSV and TSV (by name or 1-based number) and JSON lines (fields by name).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/read_line.h"
#include "text/utf8.h"

namespace ulmfit::data_prep {

enum class TableFormat { kCsv, kTsv, kJsonl };

class TableReader {
 public:
  virtual ~TableReader() = default;

  // The values of the chosen columns, in the order they were asked for; false at the end. Throws DataError with file:line.
  virtual bool next(std::vector<std::string>& values) = 0;
  virtual std::int64_t line_number() const = 0;  // where the last row begins

  // Columns are names, or (CSV, TSV) all digits: 1-based numbers. Without `header` given, the first CSV or TSV record is a
  // header if any column is a name. Throws DataError listing the columns there are when one is missing. JSON lines are
  // read by json_fields(). `cleaned` must outlive the reader.
  static std::unique_ptr<TableReader> open(const std::filesystem::path& path, TableFormat format,
                                           const std::vector<std::string>& columns, std::optional<bool> header,
                                           text::CleanCounts& cleaned, std::int64_t max_line_bytes = kMaxLineBytes);
};

// One text of several columns, as fastai marks them: "xxfld 1 A xxfld 2 B"; a single column stays as it is.
std::string join_fields(const std::vector<std::string>& fields, std::size_t count);

}  // namespace ulmfit::data_prep
