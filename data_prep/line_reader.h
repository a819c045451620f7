// The lines of a text file, cleaned: valid UTF-8, without byte-order mark, NUL and line end (LF, CRLF or CR).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/read_line.h"
#include "data_prep/text_source.h"
#include "text/utf8.h"

namespace ulmfit::data_prep {

class LineReader {
 public:
  // Adds what had to be cleaned to `cleaned`, which must outlive the reader. Throws as TextSource does.
  LineReader(const std::filesystem::path& path, text::CleanCounts& cleaned, std::int64_t max_line_bytes = kMaxLineBytes)
      : source_(path), cleaned_(cleaned), max_line_bytes_(max_line_bytes) {}

  // False at the end; a last line without an end counts, an empty one does not. Throws DataError for more than
  // `max_line_bytes` bytes without an LF.
  bool next(std::string& line);
  std::int64_t line_number() const { return number_; }  // of the last line given, the first is 1
  const std::filesystem::path& path() const { return source_.path(); }
  std::int64_t max_line_bytes() const { return max_line_bytes_; }

 private:
  bool next_raw(std::string& line);
  void append(std::string& line, std::size_t bytes);

  TextSource source_;
  text::CleanCounts& cleaned_;
  std::int64_t max_line_bytes_;
  std::string buffer_;
  std::size_t at_ = 0;  // in buffer_
  std::string block_;   // one LF-ended line, cleaned: more lines when it has lone CRs
  std::size_t block_at_ = std::string::npos;
  std::int64_t number_ = 0;
};

}  // namespace ulmfit::data_prep
