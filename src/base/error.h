// Error types. Every failure a user can meet is one of these; the type decides the exit code of the program.
// A message says what was attempted, on which thing, what was expected and found, and what to do next.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ulmfit {

// Exit codes of the program, stable: scripts and job schedulers read them.
enum class ExitCode : int {
  kDone = 0,
  kFault = 1,       // a fault of this program or of a library
  kConfig = 2,      // usage or configuration
  kData = 3,        // text, shards, labels
  kCheckpoint = 4,  // checkpoint or stage folder
  kComm = 5,        // communication between ranks
  kDiverged = 6,    // the loss or the gradients are no longer finite
  kStopped = 75,    // stopped on a signal after saving: run the same command again
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

struct ConfigError : Error {
  explicit ConfigError(const std::string& message) : Error(ExitCode::kConfig, message) {}
};
struct DataError : Error {
  explicit DataError(const std::string& message) : Error(ExitCode::kData, message) {}
};
struct CheckpointError : Error {
  explicit CheckpointError(const std::string& message) : Error(ExitCode::kCheckpoint, message) {}
};
struct CommError : Error {
  explicit CommError(const std::string& message) : Error(ExitCode::kComm, message) {}
};
struct DivergedError : Error {
  explicit DivergedError(const std::string& message) : Error(ExitCode::kDiverged, message) {}
};
// A file system call failed; the message names the call, the path and the reason.
struct FileError : Error {
  explicit FileError(const std::string& message) : Error(ExitCode::kData, message) {}
};

// The arguments written one after the other, as `<<` writes them.
template <class... Args>
std::string str(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

}  // namespace ulmfit
