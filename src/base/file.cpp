#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace ulmfit {
namespace {

[[noreturn]] void fail(const char* what, const fs::path& path, int reason) {
  throw FileError(str("cannot ", what, " ", path.string(), ": ", std::strerror(reason)));
}

}  // namespace

OutputFile::OutputFile(fs::path path, Mode mode) : path_(std::move(path)) {
  const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (mode == Mode::kAppend ? O_APPEND : O_TRUNC);
  fd_ = ::open(path_.c_str(), flags, 0644);
  if (fd_ < 0) fail("open for writing", path_, errno);
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void OutputFile::write(const void* data, std::size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::write(fd_, from, bytes);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("write", path_, errno);
    from += done;
    bytes -= static_cast<std::size_t>(done);
  }
}

void OutputFile::sync() {
  if (::fsync(fd_) != 0) fail("sync", path_, errno);
}

void OutputFile::close() {
  const int fd = std::exchange(fd_, -1);
  if (fd >= 0 && ::close(fd) != 0) fail("close", path_, errno);
}

std::string read_file(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("open", path, errno);
  std::string content;
  char buffer[1 << 16];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof buffer)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int reason = errno;
      ::close(fd);
      fail("read", path, reason);
    }
    content.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(fd);
  return content;
}

std::vector<std::string> read_lines(const fs::path& path) {
  const std::string content = read_file(path);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t end = std::min(content.find('\n', at), content.size());
    lines.push_back(content.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  const fs::path temporary = path.string() + ".tmp";
  try {
    OutputFile out(temporary);
    out.write(content);
    out.sync();
    out.close();
  } catch (const FileError&) {  // a full disk: what was written helps nobody
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
  rename_synced(temporary, path);
}

void sync_directory(const fs::path& folder) {
  const fs::path name = folder.empty() ? fs::path(".") : folder;
  const int fd = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("open", name, errno);
  const int result = ::fsync(fd);
  const int reason = errno;
  ::close(fd);
  if (result != 0) fail("sync", name, reason);
}

void rename_synced(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail(str("rename ", from.string(), " to").c_str(), to, errno);
  sync_directory(to.parent_path());
}

void make_directories(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw FileError(str("cannot create folder ", folder.string(), ": ", error.message()));
}

void truncate_file(const fs::path& path, std::size_t bytes) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error || size <= bytes) return;
  fs::resize_file(path, bytes, error);
  if (error) throw FileError(str("cannot cut ", path.string(), " to ", bytes, " bytes: ", error.message()));
}

}  // namespace ulmfit
