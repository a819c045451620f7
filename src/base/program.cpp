#include "base/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/temp_folder.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX declares it in no header

namespace ulmfit {
namespace {

// What the child starts with: files and signals.
class Start {
 public:
  explicit Start(const fs::path& output) {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_addopen(&files_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!output.empty()) {
      posix_spawn_file_actions_addopen(&files_, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    }
    posix_spawnattr_init(&signals_);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&signals_, &none);  // of a program that blocks some for a thread of its own
    posix_spawnattr_setflags(&signals_, POSIX_SPAWN_SETSIGMASK);
  }
  ~Start() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&signals_);
  }
  Start(const Start&) = delete;
  Start& operator=(const Start&) = delete;

  int spawn(pid_t& child, std::vector<char*>& words) const {
    return posix_spawnp(&child, words[0], &files_, &signals_, words.data(), environ);
  }

 private:
  posix_spawn_file_actions_t files_{};
  posix_spawnattr_t signals_{};
};

}  // namespace

int run_program(const std::vector<std::string>& words, const fs::path& output) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));  // the interface of POSIX
  pointers.push_back(nullptr);
  const Start start(output);
  pid_t child = 0;
  if (const int error = start.spawn(child, pointers); error != 0) {
    throw ConfigError(
        str("cannot start the program ", words[0], ": ", std::strerror(error), "; install it (launch/setup does)"));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw FileError(str("waitpid ", words[0], ": ", std::strerror(errno)));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string sha256_of(const fs::path& file) {
  const TempFolder folder;
  const fs::path output = folder.path() / "sum";
  constexpr std::size_t kDigits = 64;
  const int status = run_program({"sha256sum", "--binary", "--zero", "--", fs::absolute(file).string()}, output);
  const std::string sum = status == 0 ? read_file(output).substr(0, kDigits) : "";
  if (sum.size() == kDigits) return sum;
  throw FileError(str("cannot take the checksum of ", file.string(), ": sha256sum ended with ", status));
}

}  // namespace ulmfit
