// The lines of a text file, cleaned: valid UTF-8, without byte-order mark, NUL and line end (LF, CRLF or CR).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/read_line.h"
#include "data_prep/text_source.h"
#include "text/utf8.h"

namespace ulmfit::data_prep {

// One line or record is at fault; the next one can be read.
struct RecordError : DataError {
  using DataError::DataError;
};

class LineReader {
 public:
  // Adds what had to be cleaned to `cleaned`, which must outlive the reader. Throws as TextSource does; next() throws
  // DataError for UTF-16 with its mark.
  LineReader(const std::filesystem::path& path, text::CleanCounts& cleaned, std::int64_t max_line_bytes = kMaxLineBytes)
      : source_(path), cleaned_(cleaned), max_line_bytes_(max_line_bytes) {}

  // False at the end; a last line without an end counts, an empty one does not. Throws RecordError for more than
  // `max_line_bytes` bytes without an LF; the next call gives the line behind them.
  bool next(std::string& line);
  std::int64_t line_number() const { return number_; }  // of the last line given, the first is 1
  const std::filesystem::path& path() const { return source_.path(); }
  std::int64_t max_line_bytes() const { return max_line_bytes_; }

 private:
  bool next_raw(std::string& line);

  TextSource source_;
  text::CleanCounts& cleaned_;
  std::int64_t max_line_bytes_;
  std::string buffer_;
  bool first_ = true;   // the buffer is not filled yet
  std::size_t at_ = 0;  // in buffer_
  std::string block_;   // one LF-ended line, cleaned: more lines when it has lone CRs
  std::size_t block_at_ = std::string::npos;
  std::int64_t number_ = 0;
};

}  // namespace ulmfit::data_prep
