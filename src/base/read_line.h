// Lines of a stream that may be hostile: no line takes more memory than it is allowed.
#pragma once

#include <cstdint>
#include <istream>
#include <string>

namespace ulmfit {

inline constexpr std::int64_t kMaxLineBytes = 64 << 20;  // unless --max-line-bytes says otherwise

enum class LineRead { kLine, kTooLong, kEnd };

// The next line without its LF; a last one without an LF counts, an empty one does not. Of a line of more than `max_bytes`
// bytes `line` keeps nothing: it is passed over, and the next call gives the one behind it. Throws FileError where the
// stream cannot be read.
LineRead read_line(std::istream& in, std::string& line, std::int64_t max_bytes);

}  // namespace ulmfit
