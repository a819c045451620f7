// Results on standard output: what cannot be written is an error, not a shorter result.
#pragma once

#include <iosfwd>

namespace ulmfit {

// Throws FileError if anything written to `out` so far could not be: the disk is full.
void flush_output(std::ostream& out);

}  // namespace ulmfit
