// Records of a CSV or TSV file. CSV is read by RFC 4180: a field in double quotes may hold the delimiter, line ends (they
// become LF) and doubled quotes. With a tab as delimiter (TSV) a record is one line, and quotes are text (5" disc, "Great"
// movie), but for a field that is quoted as a whole, as pandas and spreadsheets write it: it begins with a quote, its
// closing quote stands before the next tab or at the line's end, each quote inside is doubled. Then the outer quotes go,
// doubled ones become one, and a tab inside belongs to the field. Empty lines between records are skipped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data_prep/line_reader.h"

namespace ulmfit::data_prep {

class CsvReader {
 public:
  CsvReader(const std::filesystem::path& path, char delimiter, text::CleanCounts& cleaned,
            std::int64_t max_line_bytes = kMaxLineBytes)
      : lines_(path, cleaned, max_line_bytes), delimiter_(delimiter) {}

  // Throws RecordError with file:line for a record with another number of fields than the first and, in CSV, for a quote
  // that is never closed, or not within the bytes that a line may have, and for text behind a closing quote.
  // `fields` are then those read so far. An open quote takes the records up to the next quote with it.
  bool next(std::vector<std::string>& fields);

  std::int64_t line_number() const { return first_line_; }  // where the last record begins
  std::string place() const;                                // "file:line"

 private:
  bool is_tsv() const { return delimiter_ == '\t'; }
  void parse_csv(std::string& line, std::vector<std::string>& fields);
  std::size_t quoted_field(std::string& line, std::size_t at, std::string& field);

  LineReader lines_;
  char delimiter_;
  std::int64_t first_line_ = 0;
  std::size_t width_ = 0;  // fields of the first record
};

}  // namespace ulmfit::data_prep
