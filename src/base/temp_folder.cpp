#include "base/temp_folder.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "base/error.h"

namespace ulmfit {

TempFolder::TempFolder(const fs::path& parent) {
  std::error_code error;
  const fs::path place = parent.empty() ? fs::temp_directory_path(error) : parent;
  if (error)
    throw FileError(str("cannot make a temporary folder: ", error.message(), "; does TMPDIR name one that is there?"));
  std::string name = (place / "ulmfit-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw FileError(
        str("cannot make a temporary folder ", name, ": ", std::strerror(errno), parent.empty() ? "; set TMPDIR" : ""));
  }
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace ulmfit
