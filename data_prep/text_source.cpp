#include "data_prep/text_source.h"

#include <algorithm>
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

// What people give for text that is none.
struct Foreign {
  std::string_view magic;
  std::string_view message;
};
constexpr Foreign kForeign[] = {
    {"PK\x03\x04", "it is a ZIP archive or a spreadsheet, such as .xlsx; unpack it, or save the sheet as CSV in UTF-8"},
    {"BZh", "it is packed by bzip2, which is not read; unpack it (bunzip2), or pack it by gzip, xz or zstd"},
    {"7z\xBC\xAF", "it is a 7-Zip archive; unpack it"},
    {"\x04\x22\x4D\x18", "it is packed by lz4, which is not read; unpack it, or pack it by gzip, xz or zstd"},
    {"PAR1", "it is a Parquet file; write its rows as CSV or JSON lines"},
    {"%PDF", "it is a PDF; take its text out first (pdftotext)"}};

// A frame that decoders pass over: parallel compressors begin with one.
bool is_skippable_zstd_frame(std::string_view bytes) {
  return bytes.size() >= 4 && (static_cast<unsigned char>(bytes[0]) & 0xF0U) == 0x50 &&
         bytes.substr(1, 3) == "\x2A\x4D\x18";
}

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
  if (is_skippable_zstd_frame(bytes)) return Compression::kZstd;
  for (const Foreign& foreign : kForeign) {
    if (bytes.starts_with(foreign.magic)) throw DataError(str("cannot read ", path.string(), ": ", foreign.message));
  }
  for (const Kind& kind : kKinds) {
    if (path.extension() != kind.ending) continue;
    throw DataError(str("cannot read ", path.string(), ": its name says ", kind.name, " but it does not begin as ",
                        kind.name, " data does; it is damaged or misnamed"));
  }
  return Compression::kNone;
}

}  // namespace

// The bytes that a source reads, for a stream.
class Characters : public std::streambuf {
 public:
  explicit Characters(TextSource& source) : source_(source), block_(1 << 16, '\0') {}

 private:
  int_type underflow() override {
    const std::size_t got = source_.read(block_.data(), block_.size());
    setg(block_.data(), block_.data(), block_.data() + got);
    return got == 0 ? traits_type::eof() : traits_type::to_int_type(block_.front());
  }

  TextSource& source_;
  std::string block_;
};

struct TextSource::Impl {
  explicit Impl(TextSource& source) : characters(source) {}
  io::filtering_streambuf<io::input> buffer;
  Characters characters;
};

TextSource::TextSource(fs::path path) : path_(std::move(path)), impl_(std::make_unique<Impl>(*this)) {
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
  } catch (const io::lzma_error& e) {
    constexpr int kMemoryLimit = 6;  // LZMA_MEMLIMIT_ERROR; Boost's decoder takes 100 MiB at most
    if (e.error() != kMemoryLimit) throw damaged(e);
    throw DataError(str("cannot read ", path_.string(),
                        ": its xz dictionary is larger than is read, 64 MiB; pack it again with xz -9 or less"));
  } catch (const std::exception& e) {
    throw damaged(e);
  }
}

DataError TextSource::damaged(const std::exception& e) const {
  return DataError(str("cannot read ", path_.string(), ": the compressed data is damaged or cut off (", e.what(),
                       "); fetch or write it again"));
}

std::streambuf& TextSource::characters() { return impl_->characters; }

void refuse_binary(std::string_view first_bytes, const std::string& name) {
  if (first_bytes.starts_with("\xFF\xFE") || first_bytes.starts_with("\xFE\xFF")) {
    throw DataError(str("cannot read ", name, ": it is UTF-16, expected UTF-8; convert it: iconv -f UTF-16 -t UTF-8"));
  }
  constexpr std::size_t kTarMark = 257, kLeast = 512;
  if (first_bytes.size() > kTarMark && first_bytes.substr(kTarMark).starts_with("ustar")) {
    throw DataError(str("cannot read ", name, ": it is a tar archive; unpack it and give the folder"));
  }
  const auto zeros = static_cast<std::size_t>(std::count(first_bytes.begin(), first_bytes.end(), '\0'));
  if (first_bytes.size() < kLeast || 10 * zeros < first_bytes.size()) return;
  throw DataError(str("cannot read ", name, ": it is no text: ", zeros, " of its first ", first_bytes.size(),
                      " bytes are 0; expected UTF-8 (of UTF-16 without its mark: iconv -f UTF-16LE -t UTF-8)"));
}

std::string read_text(const fs::path& path, std::size_t most) {
  TextSource source(path);
  std::string text;
  std::string buffer(1 << 16, '\0');
  for (std::size_t got = 0; (got = source.read(buffer.data(), buffer.size())) > 0;) {
    text.append(buffer, 0, got);
    if (text.size() <= most) continue;
    throw DataError(str("cannot read ", path.string(), " as one document: it has more than ", most,
                        " bytes; split it, or choose the --format that finds its documents"));
  }
  return text;
}

fs::path without_compression_ending(const fs::path& path) {
  for (const Kind& kind : kKinds) {
    if (path.extension() == kind.ending) return fs::path(path).replace_extension();
  }
  return path;
}

}  // namespace ulmfit::data_prep
