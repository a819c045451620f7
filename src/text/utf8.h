// Text as it comes from the world becomes valid UTF-8 with LF line ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ulmfit::text {

struct CleanCounts {
  std::uint64_t invalid_utf8 = 0;      // ill-formed sequences replaced by U+FFFD (maximal subparts, as Unicode recommends)
  std::uint64_t nul_bytes = 0;         // removed
  std::uint64_t carriage_returns = 0;  // CRLF and lone CR became LF
  std::uint64_t byte_order_marks = 0;  // U+FEFF at the start, removed
  CleanCounts& operator+=(const CleanCounts& other);
};

// Valid UTF-8 without NUL, CR or a leading byte-order mark. Adds what was changed to `counts`.
std::string clean_utf8(std::string_view bytes, CleanCounts& counts);

}  // namespace ulmfit::text
