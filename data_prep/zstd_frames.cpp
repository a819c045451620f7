#include "data_prep/zstd_frames.h"

#include <array>
#include <cstdint>
#include <fstream>

#include "base/error.h"

namespace ulmfit::data_prep {
namespace {

constexpr std::uint64_t kFrameMagic = 0xFD2FB528;
constexpr std::uint64_t kSkippableMagic = 0x184D2A50;  // its last four bits are free

class FrameWalker {
 public:
  explicit FrameWalker(const std::filesystem::path& path)
      : path_(path), file_(path, std::ios::binary), size_(std::filesystem::file_size(path)) {}

  void walk() {
    while (at_ < size_) {
      const std::uint64_t magic = number(4);
      if (magic == kFrameMagic) {
        frame();
      } else if ((magic & ~0xFULL) == kSkippableMagic) {
        skip(number(4));
      } else {
        throw DataError(str("cannot read ", path_.string(), ": no zstd frame at byte ", at_ - 4,
                            ", the file is damaged; fetch or write it again"));
      }
    }
  }

 private:
  void frame() {
    const std::uint64_t descriptor = number(1);
    const bool single_segment = (descriptor >> 5 & 1) != 0;
    constexpr std::array<std::uint64_t, 4> kDictionaryBytes{0, 1, 2, 4};
    constexpr std::array<std::uint64_t, 4> kSizeBytes{0, 2, 4, 8};
    const std::uint64_t size_flag = descriptor >> 6;
    const std::uint64_t size_bytes = size_flag == 0 && single_segment ? 1 : kSizeBytes[size_flag];
    skip((single_segment ? 0U : 1U) + kDictionaryBytes[descriptor & 3] + size_bytes);
    for (bool last = false; !last;) {
      const std::uint64_t block = number(3);
      last = (block & 1) != 0;
      const bool repeated_byte = (block >> 1 & 3) == 1;
      skip(repeated_byte ? 1 : block >> 3);
    }
    const bool checksum = (descriptor >> 2 & 1) != 0;
    skip(checksum ? 4 : 0);
  }

  void skip(std::uint64_t bytes) {
    if (bytes > size_ - at_) {
      throw DataError(
          str("cannot read ", path_.string(), ": the zstd data is cut off at byte ", size_, "; fetch or write it again"));
    }
    at_ += bytes;
  }

  std::uint64_t number(std::uint64_t bytes) {
    const std::uint64_t from = at_;
    skip(bytes);
    std::array<unsigned char, 8> raw{};
    file_.seekg(static_cast<std::streamoff>(from));
    if (!file_.read(reinterpret_cast<char*>(raw.data()), static_cast<std::streamsize>(bytes))) {
      throw DataError(str("cannot read ", path_.string(), " at byte ", from));
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value |= static_cast<std::uint64_t>(raw[i]) << (8 * i);
    return value;
  }

  const std::filesystem::path& path_;
  std::ifstream file_;
  std::uint64_t size_;
  std::uint64_t at_ = 0;
};

}  // namespace

void check_zstd_complete(const std::filesystem::path& path) { FrameWalker(path).walk(); }

}  // namespace ulmfit::data_prep
