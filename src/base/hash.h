// 64-bit and 128-bit checksums (XXH3, libxxhash): integrity of files and fingerprints of data. Not cryptographic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace ulmfit {

std::uint64_t hash64(const void* data, std::size_t bytes);

// Incremental 128-bit hash.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void update(const void* data, std::size_t bytes);
  void update(std::string_view text) { update(text.data(), text.size()); }
  std::string hex() const;  // 32 hexadecimal digits of all bytes so far

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// 32 hexadecimal digits. The file version throws FileError if the file cannot be read.
std::string fingerprint(std::string_view bytes);
std::string file_fingerprint(const std::filesystem::path& path);

}  // namespace ulmfit
