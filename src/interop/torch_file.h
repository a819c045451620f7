// Reads what torch.save wrote, of weights and plain values, without running anything that the file names: the zip form
// (torch 1.6 and later) and the stream form before it.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "interop/pickle.h"

namespace ulmfit::interop {

class TorchStorages;  // the bytes behind the tensors

class TorchFile {
 public:
  // Throws FileError if it cannot be read; CheckpointError if it is of neither form, malformed, cut off, or holds
  // compressed records (torch writes none).
  explicit TorchFile(const std::filesystem::path& path);
  ~TorchFile();
  TorchFile(const TorchFile&) = delete;
  TorchFile& operator=(const TorchFile&) = delete;

  const PickleValue& root() const { return *root_; }

  // The tensor or parameter that `value` stands for, contiguous on the CPU, its memory shared with others of the same
  // storage; empty if it stands for something else. Throws CheckpointError, naming `name`, for one that does not lie within
  // its storage, is empty or not contiguous, or whose numbers are none of torch's plain ones.
  std::optional<at::Tensor> tensor(const PickleValue& value, const std::string& name);

 private:
  std::string file_;
  std::unique_ptr<TorchStorages> storages_;
  Pickled root_;
};

}  // namespace ulmfit::interop
