#include "data_prep/text_source.h"

#include <boost/iostreams/device/file_descriptor.hpp>
#include <boost/iostreams/filter/gzip.hpp>
#include <boost/iostreams/filter/lzma.hpp>
#include <boost/iostreams/filtering_streambuf.hpp>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "data_prep/zstd_decompressor.h"

namespace ulmfit::data_prep {
namespace {

namespace fs = std::filesystem;
namespace io = boost::iostreams;

enum class Compression { kNone, kGzip, kXz, kZstd };

struct Kind {
  Compression compression;
  std::string_view ending;
  std::string_view magic;
  std::string_view name;
};
constexpr Kind kKinds[] = {{Compression::kGzip, ".gz", "\x1F\x8B", "gzip"},
                           {Compression::kXz,
                            ".xz",
                            {"\xFD"
                             "7zXZ\0",
                             6},
                            "xz"},
                           {Compression::kZstd, ".zst", "\x28\xB5\x2F\xFD", "zstd"}};

constexpr std::string_view kZip = "PK\x03\x04";

void check_readable_file(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    throw DataError(str("cannot read ", path.string(), ": no such file; check the path"));
  }
  if (fs::is_directory(status)) {
    throw DataError(str("cannot read ", path.string(), ": it is a folder where a file is expected"));
  }
  if (!fs::is_regular_file(status)) {
    throw DataError(str("cannot read ", path.string(), ": not a regular file; write its content to a file first"));
  }
}

std::string first_bytes(const fs::path& path) {
  io::file_descriptor_source file;
  try {
    file.open(path.string(), std::ios::binary);
  } catch (const std::exception&) {
    throw DataError(str("cannot read ", path.string(), ": ", std::strerror(errno)));
  }
  std::string bytes(8, '\0');
  const std::streamsize got = file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return bytes;
}

Compression compression_of(const fs::path& path) {
  const std::string bytes = first_bytes(path);
  for (const Kind& kind : kKinds) {
    if (bytes.starts_with(kind.magic)) return kind.compression;
  }
  if (bytes.starts_with(kZip)) {
    throw DataError(
        str("cannot read ", path.string(),
            ": it is a ZIP archive or a spreadsheet, such as .xlsx; unpack it, or save the sheet as CSV in UTF-8"));
  }
  for (const Kind& kind : kKinds) {
    if (path.extension() != kind.ending) continue;
    throw DataError(str("cannot read ", path.string(), ": its name says ", kind.name, " but it does not begin as ",
                        kind.name, " data does; it is damaged or misnamed"));
  }
  return Compression::kNone;
}

}  // namespace

struct TextSource::Impl {
  io::filtering_streambuf<io::input> buffer;
};

TextSource::TextSource(fs::path path) : path_(std::move(path)), impl_(std::make_unique<Impl>()) {
  check_readable_file(path_);
  constexpr std::streamsize kBuffer = 1 << 16;
  switch (compression_of(path_)) {
    case Compression::kGzip:
      impl_->buffer.push(io::gzip_decompressor(io::zlib::default_window_bits, kBuffer));
      break;
    case Compression::kXz:
      impl_->buffer.push(io::lzma_decompressor(kBuffer));
      break;
    case Compression::kZstd:
      impl_->buffer.push(ZstdDecompressor(), kBuffer);
      break;
    case Compression::kNone:
      break;
  }
  impl_->buffer.push(io::file_descriptor_source(path_.string(), std::ios::binary), kBuffer);
}

TextSource::~TextSource() = default;

std::size_t TextSource::read(char* buffer, std::size_t size) {
  try {
    const std::streamsize got = impl_->buffer.sgetn(buffer, static_cast<std::streamsize>(size));
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  } catch (const std::exception& e) {
    throw DataError(str("cannot read ", path_.string(), ": the compressed data is damaged or cut off (", e.what(),
                        "); fetch or write it again"));
  }
}

std::streambuf& TextSource::buffer() { return impl_->buffer; }

void refuse_utf16(std::string_view first_bytes, const std::string& name) {
  if (!first_bytes.starts_with("\xFF\xFE") && !first_bytes.starts_with("\xFE\xFF")) return;
  throw DataError(str("cannot read ", name, ": it is UTF-16, expected UTF-8; convert it: iconv -f UTF-16 -t UTF-8"));
}

std::string read_text(const fs::path& path) {
  TextSource source(path);
  std::string text;
  std::string buffer(1 << 16, '\0');
  for (std::size_t got = 0; (got = source.read(buffer.data(), buffer.size())) > 0;) text.append(buffer, 0, got);
  return text;
}

fs::path without_compression_ending(const fs::path& path) {
  for (const Kind& kind : kKinds) {
    if (path.extension() == kind.ending) return fs::path(path).replace_extension();
  }
  return path;
}

}  // namespace ulmfit::data_prep
