#include "data_prep/line_reader.h"

namespace ulmfit::data_prep {

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
    const std::size_t end = buffer_.find('\n', at_);
    if (end != std::string::npos) {
      line.append(buffer_, at_, end - at_);
      at_ = end + 1;
      return true;
    }
    line.append(buffer_, at_);
    at_ = buffer_.size();
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
