// A folder of a process's own that is removed with the object, also when what fills it throws.
#pragma once

#include <string>

#include "base/file.h"

namespace ulmfit {

class TempFolder {
 public:
  // Makes PARENT/ulmfit-XXXXXX; an empty parent is the system's folder for temporary files (TMPDIR). Throws FileError.
  explicit TempFolder(const fs::path& parent = {});
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace ulmfit
