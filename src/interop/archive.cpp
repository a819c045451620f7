#include "interop/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <locale.h>  // NOLINT(modernize-deprecated-headers): of POSIX, not of C

#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace ulmfit::interop {
namespace {

constexpr std::size_t kBuffer = 1 << 16;

struct FreeReader {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Reader = std::unique_ptr<archive, FreeReader>;

[[noreturn]] void refuse(const fs::path& file, std::string_view why) {
  throw CheckpointError(str("cannot unpack ", file.string(), ": ", why, "; fetch it again"));
}

// libarchive turns the names of zip files into the locale's characters, and gives none where it can't.
class Utf8Names {
 public:
  Utf8Names()
      : mine_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), before_(mine_ != nullptr ? uselocale(mine_) : nullptr) {}
  ~Utf8Names() {
    if (mine_ == nullptr) return;
    uselocale(before_);
    freelocale(mine_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t mine_;
  locale_t before_;
};

void require(archive* a, int status, const fs::path& file) {
  if (status < ARCHIVE_WARN) refuse(file, archive_error_string(a) != nullptr ? archive_error_string(a) : "it is damaged");
}

Reader open_archive(const fs::path& file) {
  Reader a(archive_read_new());
  if (!a) throw FileError("archive_read_new: no memory");
  archive_read_support_filter_gzip(a.get());
  archive_read_support_filter_xz(a.get());
  archive_read_support_filter_zstd(a.get());
  archive_read_support_format_tar(a.get());
  archive_read_support_format_zip(a.get());
  require(a.get(), archive_read_open_filename(a.get(), file.c_str(), kBuffer), file);
  return a;
}

bool is_wanted(archive_entry* entry, std::string_view ending) {
  const char* path = archive_entry_pathname(entry);  // bytes: only the ending matters
  if (path == nullptr || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr)
    return false;
  std::string_view name = path;
  name.remove_prefix(name.rfind('/') + 1);
  return name.ends_with(ending) && !name.starts_with("._");  // macOS puts such files beside the real ones
}

void write_entry(archive* a, const fs::path& file, const fs::path& to, std::int64_t longest) {
  OutputFile out(to);
  std::vector<char> buffer(kBuffer);
  for (std::int64_t written = 0;;) {
    const la_ssize_t got = archive_read_data(a, buffer.data(), buffer.size());
    // Of a zip file a wrong checksum is but a warning.
    if (got < 0) refuse(file, archive_error_string(a) != nullptr ? archive_error_string(a) : "it is damaged");
    if (got == 0) break;
    written += got;
    if (written > longest) refuse(file, str(to.filename().string(), " in it has more than ", longest, " bytes"));
    out.write(buffer.data(), static_cast<std::size_t>(got));
  }
  out.sync();
  out.close();
}

struct FreeWriter {
  void operator()(archive* a) const { archive_write_free(a); }
};

// What libarchive hands its bytes to. It cannot be thrown through.
struct Sink {
  OutputFile file;
  std::exception_ptr failure{};
};

la_ssize_t write_bytes(archive* /*a*/, void* sink, const void* data, std::size_t bytes) {
  auto& to = *static_cast<Sink*>(sink);
  try {
    to.file.write(data, bytes);
    return static_cast<la_ssize_t>(bytes);
  } catch (...) {
    to.failure = std::current_exception();
    return -1;
  }
}

void append(archive* a, Sink& sink, const fs::path& file, const std::string& name) {
  const auto check = [&](la_ssize_t status) {
    if (sink.failure != nullptr) std::rethrow_exception(sink.failure);
    if (status < ARCHIVE_OK) throw FileError(str("cannot write ", name, " into an archive: ", archive_error_string(a)));
  };
  const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(), archive_entry_free);
  archive_entry_set_pathname_utf8(entry.get(), name.c_str());
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(fs::file_size(file)));
  check(archive_write_header(a, entry.get()));
  std::ifstream in(file, std::ios::binary);
  std::vector<char> buffer(kBuffer);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0) {
    check(archive_write_data(a, buffer.data(), static_cast<std::size_t>(in.gcount())));
  }
  if (in.bad() || !in.eof()) throw FileError(str("cannot read ", file.string()));
  check(archive_write_finish_entry(a));
}

}  // namespace

void unpack_file(const fs::path& file, std::string_view ending, const fs::path& to, std::int64_t longest) {
  const Utf8Names names;
  const Reader a = open_archive(file);
  std::string found;
  archive_entry* entry = nullptr;
  for (int status = 0; (status = archive_read_next_header(a.get(), &entry)) != ARCHIVE_EOF;) {
    require(a.get(), status, file);
    if (!is_wanted(entry, ending)) continue;
    const std::string name = archive_entry_pathname(entry);
    if (!found.empty()) refuse(file, str("it holds ", found, " and ", name, ", one file *", ending, " was expected"));
    found = name;
    write_entry(a.get(), file, to, longest);
  }
  if (found.empty()) refuse(file, str("it holds no file *", ending));
}

void write_zip(const fs::path& zip, const fs::path& folder, const std::vector<std::string>& files,
               std::string_view prefix) {
  const fs::path partial = zip.string() + ".partial";
  try {
    Sink sink{OutputFile(partial)};
    {
      const std::unique_ptr<archive, FreeWriter> a(archive_write_new());
      archive_write_set_format_zip(a.get());
      archive_write_zip_set_compression_store(a.get());
      archive_write_set_options(a.get(), "hdrcharset=UTF-8");
      archive_write_set_bytes_in_last_block(a.get(), 1);
      if (archive_write_open(a.get(), &sink, nullptr, write_bytes, nullptr) != ARCHIVE_OK) {
        throw FileError(str("cannot write ", zip.string(), ": ", archive_error_string(a.get())));
      }
      for (const std::string& name : files) append(a.get(), sink, folder / name, str(prefix, "/", name));
      if (archive_write_close(a.get()) != ARCHIVE_OK && sink.failure == nullptr) {
        throw FileError(str("cannot write ", zip.string(), ": ", archive_error_string(a.get())));
      }
    }
    if (sink.failure != nullptr) std::rethrow_exception(sink.failure);
    sink.file.sync();
    sink.file.close();
    rename_synced(partial, zip);
  } catch (...) {
    std::error_code ignored;
    fs::remove(partial, ignored);
    throw;
  }
}

}  // namespace ulmfit::interop
