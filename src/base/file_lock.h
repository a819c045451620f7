// One process at a time: locks on files and folders.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/file.h"

namespace ulmfit {

// Holds an exclusive lock on a file while alive (flock; the file names host and process, and stays). Throws CheckpointError
// naming the holder when another process has it.
//
// Some cluster file systems have no flock (Lustre mounted without it, old NFS). There, as the log then says, only a live
// process of this machine that the file names is refused: nothing tells from here whether one of another machine lives.
class FileLock {
 public:
  explicit FileLock(const fs::path& file);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // What the file says of the process that holds it; nothing if none does, or there is no such file.
  static std::optional<std::string> holder(const fs::path& file);
  // Whether who holds it is what a process of this machine that has ended has left running, with the lock.
  static bool is_left_over(const fs::path& file);

  bool by_flock() const { return locked_; }  // else the file system has none, and another machine is not kept out
  // Of the locked file. A program that is started with it open (base/program.h) holds the lock too, until it has ended,
  // whether this process lives or not.
  int descriptor() const { return fd_; }

 private:
  bool try_flock(const fs::path& file);  // false: the file system has none
  void close();

  int fd_ = -1;
  bool locked_ = false;  // by flock
};

// That of FOLDER/.lock.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder) : lock_(folder / ".lock") {}
  static std::optional<std::string> holder(const fs::path& folder) { return FileLock::holder(folder / ".lock"); }

 private:
  FileLock lock_;
};

}  // namespace ulmfit
