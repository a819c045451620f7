// Zip files as torch.save writes them, before their reader believes them.
#pragma once

#include <string>

namespace ulmfit::interop {

// torch stores its records as they are, one behind the other: what is compressed, or lies where another record lies, could
// become larger than the file. CheckpointError for such a file, and for one whose directory is broken.
void check_zip(const std::string& file);

}  // namespace ulmfit::interop
