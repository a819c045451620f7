#include "interop/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <set>
#include <stdexcept>

#include "base/error.h"
#include "interop/safetensors_header.h"

namespace ulmfit::interop {
namespace {

static_assert(std::endian::native == std::endian::little, "the tensors' bytes are written and read as they lie in memory");

constexpr std::uint64_t kLengthBytes = 8;

void check_writable(const std::string& name, const at::Tensor& tensor, std::set<std::string_view>& seen) {
  const auto refuse = [&](std::string_view why) {
    throw std::invalid_argument(str("write_safetensors: tensor '", name, "' ", why));
  };
  if (!tensor.is_cpu() || !tensor.is_contiguous()) refuse("is not contiguous on the CPU");
  if (!has_dtype(tensor.scalar_type()))
    refuse(ulmfit::str("is of type ", tensor.scalar_type(), ", which the format does not have"));
  if (name == "__metadata__") refuse("has a name that the format reserves");
  if (!seen.insert(name).second) refuse("is there twice");
}

SafetensorsHeader layout(const NamedTensors& tensors, const Metadata& metadata) {
  SafetensorsHeader header{{}, metadata};
  std::set<std::string_view> seen;
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    check_writable(name, tensor, seen);
    const auto bytes = static_cast<std::uint64_t>(tensor.nbytes());
    header.tensors.push_back({name, tensor.scalar_type(), tensor.sizes().vec(), at, at + bytes});
    at += bytes;
  }
  return header;
}

// Any other byte in a bool is undefined behaviour as soon as it is read.
void check_bools(const at::Tensor& tensor, const std::string& name, const std::filesystem::path& path) {
  const auto* bytes = static_cast<const unsigned char*>(tensor.const_data_ptr());
  if (std::all_of(bytes, bytes + tensor.nbytes(), [](unsigned char b) { return b <= 1; })) return;
  throw CheckpointError(
      str("cannot read ", path.string(), ": tensor '", name, "' of dtype BOOL has bytes other than 0 and 1"));
}

}  // namespace

const at::Tensor* find_tensor(const NamedTensors& tensors, std::string_view name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.first == name; });
  return found == tensors.end() ? nullptr : &found->second;
}

void write_safetensors(const ByteSink& sink, const NamedTensors& tensors, const Metadata& metadata) {
  const std::string text = format_header(layout(tensors, metadata));
  if (text.size() > kMaxHeaderBytes)
    throw std::invalid_argument("write_safetensors: the header is larger than readers accept");
  const std::uint64_t length = text.size();
  sink(&length, sizeof length);
  sink(text.data(), text.size());
  for (const auto& [name, tensor] : tensors) {
    if (tensor.numel() > 0) sink(tensor.const_data_ptr(), tensor.nbytes());  // an empty tensor's pointer is null
  }
}

void write_safetensors(OutputFile& file, const NamedTensors& tensors, const Metadata& metadata) {
  write_safetensors([&file](const void* data, std::size_t bytes) { file.write(data, bytes); }, tensors, metadata);
}

SafetensorsFile::SafetensorsFile(std::filesystem::path path) : path_(std::move(path)), in_(path_, std::ios::binary) {
  if (!in_) throw FileError(str("cannot open ", path_.string(), ": ", std::strerror(errno)));
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(path_, error);
  if (error) throw FileError(str("cannot read ", path_.string(), ": ", error.message()));
  const auto refuse = [&](const std::string& rule) {
    throw CheckpointError(str("cannot read ", path_.string(), ": ", rule, "; the file is cut short or not safetensors"));
  };
  if (size < kLengthBytes) refuse(str("it has ", size, " bytes, fewer than the 8 of the header's length"));
  std::uint64_t length = 0;
  in_.read(reinterpret_cast<char*>(&length), sizeof length);
  if (length > kMaxHeaderBytes) refuse(str("the header's length is ", length, " bytes, above the limit of 100 MB"));
  if (length > size - kLengthBytes)
    refuse(str("the header's length is ", length, " bytes, but ", size - kLengthBytes, " follow"));
  std::string text(length, '\0');
  if (!in_.read(text.data(), static_cast<std::streamsize>(length))) throw FileError(str("cannot read ", path_.string()));
  data_start_ = kLengthBytes + length;
  SafetensorsHeader header = parse_header(text, size - data_start_, path_.string());
  tensors_ = std::move(header.tensors);
  metadata_ = std::move(header.metadata);
}

bool SafetensorsFile::contains(std::string_view name) const {
  return std::any_of(tensors_.begin(), tensors_.end(), [&](const TensorInfo& info) { return info.name == name; });
}

at::Tensor SafetensorsFile::read(const TensorInfo& info) {
  at::Tensor tensor = at::empty(info.shape, at::TensorOptions().dtype(info.type));
  in_.seekg(static_cast<std::streamoff>(data_start_ + info.begin));
  if (!in_.read(static_cast<char*>(tensor.mutable_data_ptr()), static_cast<std::streamsize>(info.end - info.begin))) {
    in_.clear();
    throw FileError(
        str("cannot read tensor '", info.name, "' of ", path_.string(), ": the file changed or the disk failed"));
  }
  if (info.type == at::kBool) check_bools(tensor, info.name, path_);
  return tensor;
}

at::Tensor SafetensorsFile::read(std::string_view name) {
  const auto found =
      std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorInfo& info) { return info.name == name; });
  if (found == tensors_.end())
    throw CheckpointError(str("cannot read ", path_.string(), ": it has no tensor '", name, "'"));
  return read(*found);
}

NamedTensors SafetensorsFile::read_all() {
  NamedTensors all;
  for (const TensorInfo& info : tensors_) all.emplace_back(info.name, read(info));
  return all;
}

}  // namespace ulmfit::interop
