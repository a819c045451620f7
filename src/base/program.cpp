#include "base/program.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

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
  int release() { return std::exchange(fd_, -1); }
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

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));  // the interface of POSIX
  pointers.push_back(nullptr);
  return pointers;
}

struct Start {
  std::vector<char*> words;
  std::vector<char*> environment;  // a null alone: that of this process
  int input = -1;
  int output = -1;
  int errors = -1;
  int failure = -1;  // a pipe that closes when the program has started, or tells why it has not
  cpu_set_t cores{};
  bool limited = false;  // to these cores
  const char* folder = nullptr;
  int death_signal = SIGTERM;
  int kept_open = -1;
  bool own_group = false;
  pid_t parent = -1;
};

// The child's part: between fork and exec only calls that are safe in a signal handler. A failure is told through the pipe.
[[noreturn]] void become(const Start& start) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);  // this program blocks some for threads of its own
  bool ready = prctl(PR_SET_PDEATHSIG, start.death_signal) == 0 && getppid() == start.parent;
  ready = ready && (!start.own_group || setpgid(0, 0) == 0);
  ready = ready && (!start.limited || sched_setaffinity(0, sizeof start.cores, &start.cores) == 0);
  ready = ready && (start.kept_open < 0 || fcntl(start.kept_open, F_SETFD, 0) == 0);
  ready = ready && (start.folder == nullptr || chdir(start.folder) == 0);
  ready = ready && dup2(start.input, STDIN_FILENO) >= 0;
  ready = ready && (start.output < 0 || dup2(start.output, STDOUT_FILENO) >= 0);
  ready = ready && (start.errors < 0 || dup2(start.errors, STDERR_FILENO) >= 0);
  if (ready)
    execvpe(start.words[0], start.words.data(), start.environment[0] == nullptr ? environ : start.environment.data());
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(start.failure, &error, sizeof error);
  _exit(127);
}

int told_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

Program::Program(const std::vector<std::string>& words, const ProgramOptions& options) : name_(words.at(0)) {
  const Descriptor input = opened("/dev/null", O_RDONLY);
  const auto to = [](const fs::path& file, int flags) {
    return file.empty() ? -1 : opened(file, O_WRONLY | O_CREAT | flags).release();
  };
  const Descriptor output(to(options.output, O_TRUNC));
  const Descriptor errors(to(options.errors, O_APPEND));
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw FileError(str("pipe: ", std::strerror(errno)));
  const Descriptor failure(ends[0]);
  Descriptor failing(ends[1]);
  Start start{.words = pointers_to(words),
              .environment = pointers_to(options.environment),
              .input = input.get(),
              .output = output.get(),
              .errors = errors.get(),
              .failure = failing.get(),
              .limited = !options.cores.empty(),
              .folder = options.folder.empty() ? nullptr : options.folder.c_str(),
              .death_signal = options.death_signal,
              .kept_open = options.kept_open,
              .own_group = options.own_group,
              .parent = getpid()};
  for (const int core : options.cores) CPU_SET(static_cast<std::size_t>(core), &start.cores);
  process_ = fork();
  if (process_ < 0) throw ConfigError(str("cannot start the program ", name_, ": ", std::strerror(errno)));
  if (process_ == 0) become(start);
  failing.shut();
  int error = 0;
  ssize_t got = 0;
  while ((got = read(failure.get(), &error, sizeof error)) < 0 && errno == EINTR) {
  }
  if (got != sizeof error) return;
  wait();
  throw ConfigError(
      str("cannot start the program ", name_, ": ", std::strerror(error), "; install it (launch/setup does)"));
}

Program::~Program() {
  if (status_ || process_ < 0) return;
  ::kill(process_, SIGTERM);
  int ignored = 0;
  while (::waitpid(process_, &ignored, 0) < 0 && errno == EINTR) {
  }
}

std::optional<int> Program::reap(int flags) {
  while (!status_) {
    int status = 0;
    const pid_t found = ::waitpid(process_, &status, flags);
    if (found == 0) break;
    if (found > 0) status_ = told_status(status);
    if (found < 0 && errno != EINTR) throw FileError(str("waitpid ", name_, ": ", std::strerror(errno)));
  }
  return status_;
}

int Program::wait() { return *reap(0); }

std::optional<int> Program::status() { return reap(WNOHANG); }

void Program::send(int signal) {
  if (!status()) ::kill(process_, signal);
}

int run_program(const std::vector<std::string>& words, const fs::path& output) {
  return Program(words, {.output = output}).wait();
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
