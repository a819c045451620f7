// Results on standard output: what cannot be written is an error, not a shorter result.
#pragma once

#include <iosfwd>
#include <string_view>

namespace ulmfit {

// Throws FileError if anything written to `out` so far could not be: the disk is full.
void flush_output(std::ostream& out);

// Writes the text; FileError with the reason if it cannot be.
void write_output(std::ostream& out, std::string_view text);

}  // namespace ulmfit
