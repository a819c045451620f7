// Archives of files (libarchive): what others publish models in, and what a stage is handed on in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace ulmfit::interop {

inline constexpr std::int64_t kLongestUnpacked = std::int64_t{1} << 34;  // 16 GiB

// Takes the one file whose name ends with `ending` out of a .tar, .tar.gz (.tgz), .tar.xz, .tar.zst or .zip, wherever it
// lies in there, and writes it to `to`. Names, links and rights of the archive are used for nothing. Throws CheckpointError
// where it is none, is damaged, has no or several such files, or one of more than `longest` bytes; FileError.
void unpack_file(const std::filesystem::path& archive, std::string_view ending, const std::filesystem::path& to,
                 std::int64_t longest = kLongestUnpacked);

// Writes `files` of `folder` (relative names) as PREFIX/NAME into a zip file, uncompressed, with the checksums that the
// form has and without times; the same files give the same bytes. Whole or not at all; FileError.
void write_zip(const std::filesystem::path& zip, const std::filesystem::path& folder, const std::vector<std::string>& files,
               std::string_view prefix);

}  // namespace ulmfit::interop
