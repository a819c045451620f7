#include "base/output.h"

#include <cerrno>
#include <cstring>
#include <ostream>

#include "base/error.h"

namespace ulmfit {

void flush_output(std::ostream& out) {
  const bool failed_before = !out;
  out.clear();
  errno = 0;  // a stream that has failed does not try again, and the reason is forgotten
  if (out.flush() && !failed_before) return;
  const std::string reason = errno == 0 ? "" : str(" (", std::strerror(errno), ")");
  throw FileError(str("cannot write the results to standard output", reason,
                      ": what has been written is cut off; free space, or write to another place, and run again"));
}

}  // namespace ulmfit
