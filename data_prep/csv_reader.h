// Records of a CSV or TSV file by RFC 4180: a field in double quotes may hold the delimiter, line ends (they become LF) and
// doubled quotes. Empty lines between records are skipped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data_prep/line_reader.h"

namespace ulmfit::data_prep {

class CsvReader {
 public:
  CsvReader(const std::filesystem::path& path, char delimiter, text::CleanCounts& cleaned)
      : lines_(path, cleaned), delimiter_(delimiter) {}

  // Throws DataError with file:line for a quote that is never closed, text behind a closing quote, and a record with
  // another number of fields than the first.
  bool next(std::vector<std::string>& fields);

  std::int64_t line_number() const { return first_line_; }  // where the last record begins
  std::string place() const;                                // "file:line"

 private:
  void parse(std::string& line, std::vector<std::string>& fields);
  std::size_t quoted_field(std::string& line, std::size_t at, std::string& field);

  LineReader lines_;
  char delimiter_;
  std::int64_t first_line_ = 0;
  std::size_t width_ = 0;  // fields of the first record
};

}  // namespace ulmfit::data_prep
