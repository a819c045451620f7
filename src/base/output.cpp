#include "base/output.h"

#include <cerrno>
#include <cstring>
#include <ostream>

#include "base/error.h"

namespace ulmfit {

namespace {

[[noreturn]] void fail(int error) {
  const std::string reason = error == 0 ? "" : str(" (", std::strerror(error), ")");
  throw FileError(str("cannot write the results to standard output", reason,
                      ": what has been written is cut off; free space, or write to another place, and run again"));
}

}  // namespace

void flush_output(std::ostream& out) {
  const bool failed_before = !out;
  out.clear();
  errno = 0;  // a stream that has failed does not try again, and the reason is forgotten
  if (!out.flush() || failed_before) fail(errno);
}

void write_output(std::ostream& out, std::string_view text) {
  if (!out) flush_output(out);  // which tries again, and tells why
  errno = 0;
  if (!out.write(text.data(), static_cast<std::streamsize>(text.size()))) fail(errno);
}

}  // namespace ulmfit
