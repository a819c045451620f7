#include "base/partial_folder.h"

#include <sys/stat.h>

#include <system_error>

#include "base/error.h"

namespace ulmfit {
namespace {

fs::path bare(const fs::path& path) {  // "folder/" is "folder"
  return path.has_filename() ? path : path.parent_path();
}

// What is to be replaced by a rename: of a link to a folder that folder. Throws FileError for one that cannot be.
fs::path replaceable(const fs::path& output) {
  std::error_code error;
  fs::path folder = bare(output);
  if (fs::is_symlink(folder, error)) {
    if (!fs::exists(folder, error)) {
      throw FileError(
          str("cannot make the folder ", output.string(), ": it is a link to what is not there; make that folder"));
    }
    folder = fs::canonical(folder, error);
  }
  if (!fs::is_directory(folder, error)) return folder;
  const auto refuse = [&](const char* reason) {
    throw FileError(str("cannot make the folder ", output.string(), ": it is ", reason,
                        ", which cannot be replaced by a finished one; give a folder in it, which need not exist"));
  };
  if (fs::equivalent(folder, fs::current_path(error), error)) refuse("the current folder");
  struct stat inside {};
  struct stat above {};
  const fs::path parent = fs::absolute(folder, error).lexically_normal().parent_path();
  if (stat(folder.c_str(), &inside) == 0 && stat(parent.c_str(), &above) == 0 && inside.st_dev != above.st_dev) {
    refuse("where a file system is mounted");
  }
  return folder;
}

}  // namespace

PartialFolder::PartialFolder(const fs::path& output, const std::string& suffix)
    : output_(replaceable(output)), partial_(output_.string() + suffix) {
  make_directories(partial_);
  lock_.emplace(partial_);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(partial_)) {
    if (entry.path().filename() == ".lock") continue;
    fs::remove_all(entry.path(), error);
    if (error) throw FileError(str("cannot remove ", entry.path().string(), " of an earlier run: ", error.message()));
  }
}

PartialFolder::~PartialFolder() {
  if (!lock_) return;
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
}

void PartialFolder::commit() {
  std::error_code error;
  fs::remove(partial_ / ".lock", error);
  sync_directory(partial_);
  try {
    rename_synced(partial_, output_);
  } catch (const FileError& e) {
    lock_.reset();  // so that it stays
    if (!fs::exists(partial_)) throw;
    throw FileError(str(e.what(), "; the finished work is in ", partial_.string(), ": move it from there"));
  }
  lock_.reset();
}

}  // namespace ulmfit
