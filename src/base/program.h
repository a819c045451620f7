// Other programs.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace ulmfit {

// What a program is started with, where that is not what this one has.
struct ProgramOptions {
  std::filesystem::path output{};          // file for its standard output, begun anew
  std::filesystem::path errors{};          // file that its standard error is appended to
  std::vector<std::string> environment{};  // all of it, NAME=VALUE
  std::vector<int> cores{};                // that it may run on
  std::filesystem::path folder{};          // that it works in
  int death_signal = SIGTERM;              // that it gets when the thread that started it ends
  int kept_open = -1;                      // a descriptor that stays open while the program lives: a lock, say
  bool own_group = false;                  // signals of the terminal reach this process alone, which may pass them on
};

// A program that runs beside this one, its standard input empty. It is asked to end (death_signal) when the thread that
// started it does, however that ends.
class Program {
 public:
  // Starts words[0], found in PATH, with the other words as they are (no shell). Throws ConfigError if it cannot be
  // started, FileError for its files.
  explicit Program(const std::vector<std::string>& words, const ProgramOptions& options = {});
  ~Program();  // ends it, if it has not been waited for
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  int wait();                   // for its end: the exit status, 128 + n when signal n ended it
  std::optional<int> status();  // the same without waiting; nothing while it runs
  void send(int signal);        // to it, not to what it has started

 private:
  std::optional<int> reap(int flags);

  std::string name_;
  pid_t process_ = -1;
  std::optional<int> status_;
};

// Runs a program to its end. Its standard output goes to the file `output`, if one is given. Returns the exit status.
int run_program(const std::vector<std::string>& words, const std::filesystem::path& output = {});

// 64 hexadecimal digits, as coreutils' sha256sum gives them. Throws FileError, ConfigError.
std::string sha256_of(const std::filesystem::path& file);

}  // namespace ulmfit
