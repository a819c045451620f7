#include "data_prep/line_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace ulmfit::data_prep {

bool LineReader::next_raw(std::string& line) {
  line.clear();
  bool too_long = false;
  const auto refuse = [&] {
    ++number_;
    throw RecordError(str("cannot read ", path().string(), ":", number_, ": the line has more than ", max_line_bytes_,
                          " bytes; is this text, and read in the right format? --max-line-bytes allows longer lines"));
  };
  for (bool any = false;;) {
    if (at_ == buffer_.size()) {
      buffer_.resize(1 << 16);
      buffer_.resize(source_.read(buffer_.data(), buffer_.size()));
      at_ = 0;
      if (std::exchange(first_, false)) refuse_binary(buffer_, path().string());
      if (buffer_.empty()) {
        if (too_long) refuse();
        return any;
      }
    }
    any = true;
    const std::size_t end = std::min(buffer_.find('\n', at_), buffer_.size());
    too_long = too_long || static_cast<std::int64_t>(line.size() + end - at_) > max_line_bytes_;
    if (!too_long) line.append(buffer_, at_, end - at_);
    at_ = end;
    if (at_ == buffer_.size()) continue;
    ++at_;
    if (too_long) refuse();
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
