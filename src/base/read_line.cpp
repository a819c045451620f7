#include "base/read_line.h"

#include "base/error.h"

namespace ulmfit {
namespace {

std::istream::int_type next_character(std::streambuf& source) {
  try {
    return source.sbumpc();
  } catch (const std::ios_base::failure& e) {  // of a file buffer: a folder, or a device that fails
    throw FileError(str("cannot read standard input: ", e.what()));
  }
}

}  // namespace

LineRead read_line(std::istream& in, std::string& line, std::int64_t max_bytes) {
  using Traits = std::istream::traits_type;
  line.clear();
  bool any = false;
  bool too_long = false;
  std::streambuf& source = *in.rdbuf();
  for (;; any = true) {
    const auto next = next_character(source);
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
