#include "base/partial_folder.h"

#include <system_error>

#include "base/error.h"

namespace ulmfit {
namespace {

fs::path bare(const fs::path& path) {  // "folder/" is "folder"
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

PartialFolder::PartialFolder(const fs::path& output, const std::string& suffix)
    : output_(bare(output)), partial_(output_.string() + suffix) {
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
  rename_synced(partial_, output_);
  lock_.reset();
}

}  // namespace ulmfit
