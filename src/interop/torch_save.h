// Writes what torch.load reads: an ordered dictionary of tensors, in the zip form.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "interop/safetensors.h"

namespace ulmfit::interop {

// The keys in the given order; tensors that are the same memory are so there too. Tensors are contiguous on the CPU,
// float32 or int64 (std::invalid_argument). Whole or not at all; FileError.
void write_state_dict(const std::filesystem::path& pth, const NamedTensors& tensors);

// A pickled list of texts; `lists` of more than one: a list of such lists.
std::string pickled_texts(const std::vector<std::vector<std::string>>& lists);

}  // namespace ulmfit::interop
