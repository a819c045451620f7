#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/machine.h"

namespace ulmfit {
namespace {

bool is_same_file(int fd, const fs::path& path) {
  struct stat open {};
  struct stat named {};
  return ::fstat(fd, &open) == 0 && ::stat(path.c_str(), &named) == 0 && open.st_ino == named.st_ino &&
         open.st_dev == named.st_dev;
}

[[noreturn]] void fail(const char* what, const fs::path& path, int reason) {
  throw FileError(str("cannot ", what, " ", path.string(), ": ", std::strerror(reason)));
}

// What flock says on a file system that has no locks.
bool lacks_locks(int reason) { return reason == ENOSYS || reason == ENOLCK || reason == EOPNOTSUPP || reason == EINVAL; }

// When the process started, in ticks since the machine did; nothing if none can be seen. Ids are used again, ids with the
// same start are not.
std::string start_of(long process) {
  std::string stat;
  try {
    stat = read_file(str("/proc/", process, "/stat"));
  } catch (const FileError&) {
    return {};
  }
  constexpr int kFieldsBefore = 19;  // between the name in brackets, which may hold anything, and the start
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  std::string field;
  for (int i = 0; i <= kFieldsBefore; ++i) fields >> field;
  return field;
}

// The file: a line for people, and the start of the process.
std::string own_text() { return str("host ", host_name(), ", process ", ::getpid(), '\n', start_of(::getpid()), '\n'); }

std::string for_people(const std::string& text) { return text.substr(0, text.find('\n')); }

// Whether the file names a process of this machine that lives.
bool lives_here(const std::string& text) {
  const std::string here = str("host ", host_name(), ", process ");
  long process = 0;
  char start[32] = "";
  return text.starts_with(here) && std::sscanf(text.c_str() + here.size(), "%ld %31s", &process, start) == 2 &&
         start_of(process) == start;
}

[[noreturn]] void refuse(const fs::path& file, const std::string& text) {
  const fs::path used = file.filename() == ".lock" ? file.parent_path() : file;
  throw CheckpointError(str("cannot use ", used.string(), ": another run holds it (", for_people(text),
                            "); wait for it to end or give another --output"));
}

}  // namespace

FileLock::FileLock(const fs::path& file) {
  do {
    close();  // the folder was moved away between the opening and the locking
    fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0) fail("open", file, errno);
    try {
      locked_ = try_flock(file);
    } catch (...) {
      ::close(std::exchange(fd_, -1));
      throw;
    }
  } while (!is_same_file(fd_, file));
  const std::string text = own_text();
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, text.data(), text.size(), 0) < 0) {
    const int reason = errno;
    close();
    fail("write", file, reason);
  }
}

bool FileLock::try_flock(const fs::path& file) {
  constexpr int kTries = 10;  // holder() has it for a moment
  constexpr std::chrono::milliseconds kBetween{20};
  for (int tries = kTries; ::flock(fd_, LOCK_EX | LOCK_NB) != 0; --tries) {
    const int reason = errno;
    if (lacks_locks(reason)) {
      const std::string text = read_file(file);
      if (lives_here(text)) refuse(file, text);
      log::warn("lock", str(file.string(), ": its file system has no locks (flock: ", std::strerror(reason),
                            "); nothing keeps a run on another machine out of this folder"));
      return false;
    }
    if (reason != EWOULDBLOCK) fail("lock", file, reason);
    if (tries <= 1) refuse(file, read_file(file));
    std::this_thread::sleep_for(kBetween);
  }
  return true;
}

std::optional<std::string> FileLock::holder(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  // There is no asking without taking; a lock of ours is gone at once.
  const int reason = ::flock(fd, LOCK_SH | LOCK_NB) == 0 ? 0 : errno;
  ::close(fd);
  if (reason != EWOULDBLOCK && !lacks_locks(reason)) return std::nullopt;
  const std::string text = read_file(file);
  if (reason != EWOULDBLOCK && !lives_here(text)) return std::nullopt;
  return for_people(text);
}

bool FileLock::is_left_over(const fs::path& file) {
  if (!holder(file)) return false;
  const std::string text = read_file(file);
  return text.starts_with(str("host ", host_name(), ", process ")) && !lives_here(text);
}

void FileLock::close() {
  if (fd_ < 0) return;
  // Without flock what the file says is the lock, and this process may live on.
  if (!locked_) static_cast<void>(::ftruncate(fd_, 0) == 0);
  ::close(std::exchange(fd_, -1));
}

FileLock::~FileLock() { close(); }

}  // namespace ulmfit
