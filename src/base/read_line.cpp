#include "base/read_line.h"

namespace ulmfit {

LineRead read_line(std::istream& in, std::string& line, std::int64_t max_bytes) {
  using Traits = std::istream::traits_type;
  line.clear();
  bool any = false;
  bool too_long = false;
  std::streambuf& source = *in.rdbuf();
  for (;; any = true) {
    const auto next = source.sbumpc();
    if (Traits::eq_int_type(next, Traits::eof())) {
      if (!any) return LineRead::kEnd;
      break;
    }
    const char c = Traits::to_char_type(next);
    if (c == '\n') break;
    if (too_long) continue;
    if (static_cast<std::int64_t>(line.size()) < max_bytes) {
      line += c;
    } else {
      too_long = true;
      line = {};
    }
  }
  return too_long ? LineRead::kTooLong : LineRead::kLine;
}

}  // namespace ulmfit
