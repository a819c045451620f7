// Boost's zstd filter takes a file that is cut off for a whole one. This looks at the frame structure (RFC 8878,
// section 3.1) without decompressing: a few bytes each block of at most 128 KiB.
#pragma once

#include <filesystem>

namespace ulmfit::data_prep {

// Throws DataError, naming the file, when its last frame does not end where the file ends.
void check_zstd_complete(const std::filesystem::path& path);

}  // namespace ulmfit::data_prep
