#include "base/program.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/temp_folder.h"

namespace ulmfit {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { shut(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  void shut() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

Descriptor opened(const fs::path& path, int flags) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (fd < 0) throw FileError(str("open ", path.string(), ": ", std::strerror(errno)));
  return Descriptor(fd);
}

// The child's part: between fork and exec only calls that are safe in a signal handler. A failure is told through the pipe.
[[noreturn]] void become(char* const* words, int input, int output, int failure, pid_t parent) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);  // this program blocks some for threads of its own
  bool ready = prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent;
  ready = ready && dup2(input, STDIN_FILENO) >= 0 && (output < 0 || dup2(output, STDOUT_FILENO) >= 0);
  if (ready) execvp(words[0], words);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(failure, &error, sizeof error);
  _exit(127);
}

}  // namespace

int run_program(const std::vector<std::string>& words, const fs::path& output) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));  // the interface of POSIX
  pointers.push_back(nullptr);
  const Descriptor input = opened("/dev/null", O_RDONLY);
  const Descriptor to = output.empty() ? Descriptor(-1) : opened(output, O_WRONLY | O_CREAT | O_TRUNC);
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw FileError(str("pipe: ", std::strerror(errno)));
  const Descriptor failure(ends[0]);
  Descriptor failing(ends[1]);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw ConfigError(str("cannot start the program ", words[0], ": ", std::strerror(errno)));
  if (child == 0) become(pointers.data(), input.get(), to.get(), failing.get(), parent);
  failing.shut();
  int error = 0;
  ssize_t got = 0;
  while ((got = read(failure.get(), &error, sizeof error)) < 0 && errno == EINTR) {
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw FileError(str("waitpid ", words[0], ": ", std::strerror(errno)));
  }
  if (got == sizeof error) {
    throw ConfigError(
        str("cannot start the program ", words[0], ": ", std::strerror(error), "; install it (launch/setup does)"));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string sha256_of(const fs::path& file) {
  { const Descriptor readable = opened(file, O_RDONLY); }  // else it is not sha256sum's fault
  const TempFolder folder;
  const fs::path output = folder.path() / "sum";
  constexpr std::size_t kDigits = 64;
  const int status = run_program({"sha256sum", "--binary", "--zero", "--", fs::absolute(file).string()}, output);
  std::string sum = status == 0 ? read_file(output).substr(0, kDigits) : "";
  if (sum.size() == kDigits) return sum;
  throw FileError(str("cannot take the checksum of ", file.string(), ": sha256sum ended with ", status));
}

}  // namespace ulmfit
