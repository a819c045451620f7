// A file as its decompressed bytes, read piece by piece. gzip, xz and zstd are told by their first bytes; so are archives
// and other kinds of files that are no text, which are refused. Anything else is plain, unless its name ends in .gz, .xz or
// .zst: then it is damaged and refused.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <streambuf>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ulmfit::data_prep {

class TextSource {
 public:
  // Throws DataError naming the file: absent, unreadable, a folder or device, an archive, not of the compression its name
  // says, cut off.
  explicit TextSource(std::filesystem::path path);
  ~TextSource();
  TextSource(const TextSource&) = delete;
  TextSource& operator=(const TextSource&) = delete;

  // Reads up to `size` bytes; 0 at the end. Throws DataError when the compressed data is damaged or cut off.
  std::size_t read(char* buffer, std::size_t size);

  // The same for a stream, instead of read().
  std::streambuf& characters();

  const std::filesystem::path& path() const { return path_; }

 private:
  DataError damaged(const std::exception& e) const;

  struct Impl;
  std::filesystem::path path_;
  std::unique_ptr<Impl> impl_;
};

// Throws DataError for what begins with the byte-order mark of UTF-16, for a tar archive, and where a tenth of 512 bytes or
// more are 0; `name` is told.
void refuse_binary(std::string_view first_bytes, const std::string& name);

// All of it. For formats that need a whole document at once. DataError for more than `most` bytes.
inline constexpr std::size_t kLongestFile = std::size_t{1} << 30;
std::string read_text(const std::filesystem::path& path, std::size_t most = kLongestFile);

// The name without an ending .gz, .xz or .zst.
std::filesystem::path without_compression_ending(const std::filesystem::path& path);

}  // namespace ulmfit::data_prep
