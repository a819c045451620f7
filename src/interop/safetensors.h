// The safetensors format (github.com/huggingface/safetensors): named tensors in one file that cannot run code.
//
//   8 bytes   N, length of the header, little-endian
//   N bytes   JSON object, first byte '{', padded behind with blanks: {"__metadata__": {string: string},
//             NAME: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
//   the rest  the tensors' bytes, little-endian, row-major; offsets count from here and leave no gap
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"

namespace ulmfit::interop {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;  // order matters
// The tensor called `name`; null: there is none.
const at::Tensor* find_tensor(const NamedTensors& tensors, std::string_view name);
using Metadata = std::map<std::string, std::string>;

// Takes the next bytes of a file.
using ByteSink = std::function<void(const void* data, std::size_t bytes)>;

// Writes the tensors in the given order; the header is padded to a multiple of 8 bytes. The bytes depend on the arguments
// alone. Reads memory and sizes only (runs no ATen operator), so a save thread may call it. Tensors are contiguous on the
// CPU; std::invalid_argument names one that is not, is of a type without a dtype below, or has a name twice, and is thrown
// for text that is not UTF-8.
void write_safetensors(const ByteSink& sink, const NamedTensors& tensors, const Metadata& metadata = {});
void write_safetensors(OutputFile& file, const NamedTensors& tensors, const Metadata& metadata = {});

struct TensorInfo {
  std::string name;
  at::ScalarType type;  // F64 F32 F16 BF16 I64 I32 I16 U8 BOOL
  std::vector<std::int64_t> shape;
  std::uint64_t begin, end;  // bytes, from the end of the header
};

// A file open for reading. The header is checked whole on opening: CheckpointError names the file and the broken rule,
// FileError a file that cannot be read. Memory is bounded by the file's size.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(std::filesystem::path path);

  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // in the order of their bytes
  const Metadata& metadata() const { return metadata_; }
  bool contains(std::string_view name) const;

  at::Tensor read(std::string_view name);  // CheckpointError if there is none
  NamedTensors read_all();                 // in the order of their bytes

 private:
  at::Tensor read(const TensorInfo& info);

  std::filesystem::path path_;
  std::ifstream in_;
  std::uint64_t data_start_ = 0;
  std::vector<TensorInfo> tensors_;
  Metadata metadata_;
};

}  // namespace ulmfit::interop
