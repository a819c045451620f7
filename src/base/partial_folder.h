// An output folder that is whole or absent: made under another name beside it and renamed when it is done.
#pragma once

#include <optional>
#include <string>

#include "base/file.h"
#include "base/file_lock.h"

namespace ulmfit {

class PartialFolder {
 public:
  // OUTPUT and `suffix`, locked and empty: what a killed run left there is removed. If OUTPUT is a link to a folder, beside
  // that one. Throws FileError when it cannot be made, or OUTPUT is the current folder or a mount point; CheckpointError
  // when another run works on it.
  explicit PartialFolder(const fs::path& output, const std::string& suffix = ".partial");
  ~PartialFolder();  // removes it unless it was committed
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const fs::path& path() const { return partial_; }
  // Renames it to OUTPUT. Throws FileError if that fails; what was made then stays.
  void commit();

 private:
  fs::path output_;
  fs::path partial_;
  std::optional<FolderLock> lock_;
};

}  // namespace ulmfit
