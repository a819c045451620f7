// Preloaded into ulmfit by tests (LD_PRELOAD): numbers the calls that change files below one folder, and kills the process
// at one of them or lets some of them fail, so that a test can go through all the moments of a save.
//
//   ULMFIT_SHIM_FOLDER   calls on paths that contain this are numbered, from 1
//   ULMFIT_SHIM_LOG      a file that gets a line each: "12 write /run/checkpoints/..."
//   ULMFIT_SHIM_KILL     "before:12", "after:12", or "within:12": a write is done by half, then as before
//   ULMFIT_SHIM_FAIL     "12:15": these calls fail with ENOSPC
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

template <class Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

struct Settings {
  std::string folder = setting("ULMFIT_SHIM_FOLDER");
  int log = -1;
  std::string kill_when;
  long kill_at = 0;
  long fail_first = 0;
  long fail_last = -1;

  Settings() {
    if (const std::string path = setting("ULMFIT_SHIM_LOG"); !path.empty()) {
      log =
          static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    }
    const std::string kill = setting("ULMFIT_SHIM_KILL");
    if (const auto colon = kill.find(':'); colon != kill.npos) {
      kill_when = kill.substr(0, colon);
      kill_at = std::atol(kill.c_str() + colon + 1);
    }
    const std::string fail = setting("ULMFIT_SHIM_FAIL");
    if (const auto colon = fail.find(':'); colon != fail.npos) {
      fail_first = std::atol(fail.c_str());
      fail_last = std::atol(fail.c_str() + colon + 1);
    }
  }
};

const Settings& settings() {
  static const Settings one;
  return one;
}

std::atomic<long> calls{0};

std::string path_of(int fd) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), path, sizeof path);
  return size < 0 ? "" : std::string(path, static_cast<std::size_t>(size));
}

std::string path_at(int fd, const char* path) {
  if (fd == AT_FDCWD || path[0] == '/') return path;
  return path_of(fd) + "/" + path;
}

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

// One call, from before it to after it.
class Call {
 public:
  Call(const char* name, const std::string& path) {
    const Settings& s = settings();
    if (s.folder.empty() || path.find(s.folder) == path.npos) return;
    number_ = ++calls;
    const std::string line = std::to_string(number_) + " " + name + " " + path + "\n";
    if (s.log >= 0) ::syscall(SYS_write, s.log, line.data(), line.size());
    if (is("before")) die();
  }
  ~Call() {
    const int kept = errno;
    if (is("after")) die();
    errno = kept;
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  bool cut() const { return is("within"); }
  bool fails() const {
    if (number_ == 0 || number_ < settings().fail_first || number_ > settings().fail_last) return false;
    errno = ENOSPC;
    return true;
  }

 private:
  bool is(std::string_view when) const {
    return number_ > 0 && number_ == settings().kill_at && settings().kill_when == when;
  }
  long number_ = 0;  // 0: not of the folder
};

int open_at(int fd, const char* path, int flags, mode_t mode) {
  const auto open_it = [&] { return static_cast<int>(::syscall(SYS_openat, fd, path, flags, mode)); };
  if ((flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) == 0) return open_it();
  const Call call("open", path_at(fd, path));
  return call.fails() ? -1 : open_it();
}

mode_t mode_of(int flags, std::va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(arguments, unsigned)) : 0;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int fd, const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(fd, path, flags, mode);
}

ssize_t write(int fd, const void* data, size_t bytes) {
  static const auto next = real<decltype(&::write)>("write");
  const Call call("write", path_of(fd));
  if (call.cut()) {
    next(fd, data, bytes / 2);
    die();
  }
  return call.fails() ? -1 : next(fd, data, bytes);
}

ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  static const auto next = real<decltype(&::pwrite)>("pwrite");
  const Call call("pwrite", path_of(fd));
  return call.fails() ? -1 : next(fd, data, bytes, offset);
}

int ftruncate(int fd, off_t bytes) noexcept {
  static const auto next = real<decltype(&::ftruncate)>("ftruncate");
  const Call call("ftruncate", path_of(fd));
  return call.fails() ? -1 : next(fd, bytes);
}

int truncate(const char* path, off_t bytes) noexcept {
  static const auto next = real<decltype(&::truncate)>("truncate");
  const Call call("truncate", path);
  return call.fails() ? -1 : next(path, bytes);
}

int fsync(int fd) {
  static const auto next = real<decltype(&::fsync)>("fsync");
  const Call call("fsync", path_of(fd));
  return call.fails() ? -1 : next(fd);
}

int fdatasync(int fd) {
  static const auto next = real<decltype(&::fdatasync)>("fdatasync");
  const Call call("fdatasync", path_of(fd));
  return call.fails() ? -1 : next(fd);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto next = real<decltype(&::mkdir)>("mkdir");
  const Call call("mkdir", path);
  return call.fails() ? -1 : next(path, mode);
}

int rename(const char* from, const char* to) noexcept {
  static const auto next = real<decltype(&::rename)>("rename");
  const Call call("rename", std::string(from) + " " + to);
  return call.fails() ? -1 : next(from, to);
}

int unlink(const char* path) noexcept {
  static const auto next = real<decltype(&::unlink)>("unlink");
  const Call call("unlink", path);
  return call.fails() ? -1 : next(path);
}

int unlinkat(int fd, const char* path, int flags) noexcept {
  static const auto next = real<decltype(&::unlinkat)>("unlinkat");
  const Call call("unlinkat", path_at(fd, path));
  return call.fails() ? -1 : next(fd, path, flags);
}

int remove(const char* path) noexcept {
  static const auto next = real<int (*)(const char*)>("remove");
  const Call call("remove", path);
  return call.fails() ? -1 : next(path);
}

int rmdir(const char* path) noexcept {
  static const auto next = real<decltype(&::rmdir)>("rmdir");
  const Call call("rmdir", path);
  return call.fails() ? -1 : next(path);
}

}  // extern "C"
