#include "interop/zip_check.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace ulmfit::interop {
namespace {

[[noreturn]] void refuse(const std::string& file, std::string_view what) {
  throw CheckpointError(str("cannot read ", file, ": its zip form is broken: ", what));
}

// Reads little-endian numbers out of a file's bytes, none of them trusted.
class ZipBytes {
 public:
  explicit ZipBytes(const std::string& file) : file_(file), in_(file, std::ios::binary), size_(fs::file_size(file)) {}

  std::uint64_t size() const { return size_; }
  std::string take(std::uint64_t at, std::uint64_t n) {
    if (at > size_ || n > size_ - at) refuse(file_, "an entry lies outside the file");
    std::string bytes(n, '\0');
    in_.seekg(static_cast<std::streamoff>(at));
    if (!in_.read(bytes.data(), static_cast<std::streamsize>(n))) refuse(file_, "it cannot be read");
    return bytes;
  }
  static std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t width) {
    if (at + width > bytes.size()) return 0;
    std::uint64_t n = 0;
    for (std::size_t i = width; i-- > 0;) n = n << 8U | static_cast<unsigned char>(bytes[at + i]);
    return n;
  }

 private:
  const std::string& file_;
  std::ifstream in_;
  std::uint64_t size_;
};

// Where the central directory of a zip file begins, and its bytes (APPNOTE.TXT of PKWARE, sections 4.3.12 to 4.3.16).
std::string central_directory(ZipBytes& bytes, const std::string& file) {
  constexpr std::size_t kEnd = 22, kLocator = 20, kLongestComment = 65535;
  constexpr std::uint64_t kIn64 = 0xFFFFFFFF;
  const std::uint64_t tail_at = bytes.size() - std::min<std::uint64_t>(bytes.size(), kEnd + kLongestComment);
  const std::string tail = bytes.take(tail_at, bytes.size() - tail_at);
  const std::size_t end = tail.rfind(std::string_view("PK\x05\x06"));
  if (end == std::string::npos || tail.size() - end < kEnd) refuse(file, "it has no end record");
  std::uint64_t length = ZipBytes::number(tail, end + 12, 4);
  std::uint64_t start = ZipBytes::number(tail, end + 16, 4);
  if ((length == kIn64 || start == kIn64) && end >= kLocator && tail.compare(end - kLocator, 4, "PK\x06\x07") == 0) {
    const std::string end64 = bytes.take(ZipBytes::number(tail, end - kLocator + 8, 8), 56);
    length = ZipBytes::number(end64, 40, 8);
    start = ZipBytes::number(end64, 48, 8);
  }
  return bytes.take(start, length);
}

}  // namespace

void check_zip(const std::string& file) {
  ZipBytes bytes(file);
  const std::string directory = central_directory(bytes, file);
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < directory.size();) {
    if (directory.compare(at, 4, "PK\x01\x02") != 0 || directory.size() - at < 46) {
      refuse(file, "its directory");
    }
    const std::uint64_t method = ZipBytes::number(directory, at + 10, 2);
    const std::uint64_t name = ZipBytes::number(directory, at + 28, 2);
    const std::uint64_t extra = ZipBytes::number(directory, at + 30, 2);
    const std::uint64_t comment = ZipBytes::number(directory, at + 32, 2);
    std::uint64_t stored = ZipBytes::number(directory, at + 20, 4);
    std::uint64_t size = ZipBytes::number(directory, at + 24, 4);
    // Numbers that do not fit stand in the field of zip64: size, stored size, as far as they are missing.
    const std::size_t first = at + 46 + name;
    for (std::size_t field = first; field + 4 <= first + extra;) {
      const std::uint64_t width = ZipBytes::number(directory, field + 2, 2);
      if (ZipBytes::number(directory, field, 2) == 1) {
        std::size_t next = field + 4;
        for (std::uint64_t* value : {&size, &stored}) {
          if (*value != 0xFFFFFFFF) continue;
          *value = ZipBytes::number(directory, next, 8);
          next += 8;
        }
      }
      field += 4 + width;
    }
    if (method != 0 || size != stored)
      throw CheckpointError(str("cannot read ", file, ": its records are compressed, which those of torch are not"));
    if (size > bytes.size() - sum) refuse(file, "its records are larger than the file");
    sum += size;
    at = first + extra + comment;
  }
}

}  // namespace ulmfit::interop
