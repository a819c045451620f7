// Files that are whole or absent: write to a temporary name, fsync, rename, fsync the folder. The system calls
// themselves are used, never buffered streams, so that every failure is seen and named.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace ulmfit {

namespace fs = std::filesystem;

// An open file being written. Throws FileError (call, path, reason) on any failure; the destructor closes silently.
class OutputFile {
 public:
  enum class Mode { kTruncate, kAppend };
  explicit OutputFile(fs::path path, Mode mode = Mode::kTruncate);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void sync();   // fsync
  void close();  // reports a failed close; further writes are an error

 private:
  fs::path path_;
  int fd_;
};

std::string read_file(const fs::path& path);                // throws FileError
std::vector<std::string> read_lines(const fs::path& path);  // without line ends; a last empty line is not counted
void write_file_atomic(const fs::path& path, std::string_view content);  // temporary name, fsync, rename, fsync parent
void sync_directory(const fs::path& folder);
void rename_synced(const fs::path& from, const fs::path& to);  // rename, then fsync the parent of `to`
void make_directories(const fs::path& folder);                 // throws FileError naming the folder and the reason

// Cuts the file to `bytes`; a shorter or missing file is left alone.
void truncate_file(const fs::path& path, std::size_t bytes);

}  // namespace ulmfit
