// A file read at given offsets (pread: a file that shrinks or a failing disk gives an error, not a signal).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace ulmfit::data {

class RandomAccessFile {
 public:
  explicit RandomAccessFile(std::filesystem::path path);  // throws DataError unless it is a readable regular file
  ~RandomAccessFile();
  RandomAccessFile(RandomAccessFile&& other) noexcept;
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }  // when it was opened

  // Reads exactly `bytes` bytes at `offset`. Throws DataError naming file, offset and reason.
  void read(std::uint64_t offset, void* out, std::size_t bytes) const;

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace ulmfit::data
