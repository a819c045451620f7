// An output folder that is whole or absent: made under another name beside it and renamed when it is done.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace ulmfit::data_prep {

// True when `output` already holds the corpora (`corpora`: folders in it, "." for itself), each whole and with `request`
// (the inputs and options) in its provenance. False when it is absent or empty. Throws DataError when it holds anything
// else, naming the parts of the request that differ.
bool already_prepared(const std::filesystem::path& output, const std::vector<std::string>& corpora,
                      const nlohmann::json& request);

class PartialFolder {
 public:
  // OUTPUT.partial, locked and empty: what a killed run left there is removed. Throws FileError when it cannot be made,
  // CheckpointError when another run works on it.
  explicit PartialFolder(const std::filesystem::path& output);
  ~PartialFolder();  // removes it unless it was committed
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const std::filesystem::path& path() const { return partial_; }
  void commit();  // renames it to OUTPUT

 private:
  std::filesystem::path output_;
  std::filesystem::path partial_;
  std::optional<FolderLock> lock_;
};

}  // namespace ulmfit::data_prep
