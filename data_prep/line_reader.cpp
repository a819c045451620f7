#include "data_prep/line_reader.h"

#include <algorithm>

#include "base/error.h"

namespace ulmfit::data_prep {

// Moves the next bytes of the buffer to the line.
void LineReader::append(std::string& line, std::size_t bytes) {
  if (static_cast<std::int64_t>(line.size() + bytes) > max_line_bytes_) {
    throw DataError(str("cannot read ", path().string(), ":", number_ + 1, ": the line has more than ", max_line_bytes_,
                        " bytes; is this text, and read in the right format? --max-line-bytes allows longer lines"));
  }
  line.append(buffer_, at_, bytes);
  at_ += bytes;
}

bool LineReader::next_raw(std::string& line) {
  line.clear();
  for (bool any = false;;) {
    if (at_ == buffer_.size()) {
      buffer_.resize(1 << 16);
      buffer_.resize(source_.read(buffer_.data(), buffer_.size()));
      at_ = 0;
      if (buffer_.empty()) return any;
    }
    any = true;
    const std::size_t end = std::min(buffer_.find('\n', at_), buffer_.size());
    append(line, end - at_);
    if (at_ == buffer_.size()) continue;
    ++at_;
    return true;
  }
}

bool LineReader::next(std::string& line) {
  if (block_at_ == std::string::npos) {
    std::string raw;
    if (!next_raw(raw)) return false;
    if (raw.ends_with('\r')) {
      raw.pop_back();
      ++cleaned_.carriage_returns;
    }
    block_ = text::clean_utf8(raw, cleaned_);
    block_at_ = 0;
  }
  const std::size_t end = block_.find('\n', block_at_);
  line = block_.substr(block_at_, end == std::string::npos ? end : end - block_at_);
  block_at_ = end == std::string::npos ? end : end + 1;
  ++number_;
  return true;
}

}  // namespace ulmfit::data_prep
