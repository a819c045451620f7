// Reads pickles (Python's serialized objects) as plain values. Nothing is called and nothing imported: the name of a
// function stays a name, a call stays a pair of name and arguments, and whoever reads the values decides which of them mean
// something. Of the formats, protocols 2 to 5 without out-of-band buffers, which is what torch.save and pickle.dump write.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "interop/pickle_value.h"

namespace ulmfit::interop {

// Reads the pickle at the front of `bytes` and says how long it is. `what` names it in messages. Throws CheckpointError for
// what is cut off, malformed, of an unknown opcode, holds itself, or has more than a million values.
Pickled read_pickle(std::string_view bytes, const std::string& what, std::size_t* length = nullptr);

}  // namespace ulmfit::interop
