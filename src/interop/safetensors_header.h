// The header of a safetensors file: text from and to a list of entries.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "interop/safetensors.h"

namespace ulmfit::interop {

inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // in the order of their bytes
  Metadata metadata;
};

// The JSON text with its padding, without the eight bytes in front. std::invalid_argument if a name is not UTF-8.
std::string format_header(const SafetensorsHeader& header);

// Checks every rule of the format, the offsets against `data_bytes` (the file's length behind the header) included.
// Throws CheckpointError("cannot read FILE: RULE").
SafetensorsHeader parse_header(std::string_view text, std::uint64_t data_bytes, const std::string& file);

// Bytes of one element.
std::uint64_t element_bytes(at::ScalarType type);

// Whether a dtype is defined for the type.
bool has_dtype(at::ScalarType type);

}  // namespace ulmfit::interop
