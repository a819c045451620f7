// What ranks compare to know that they still hold the same state.
#pragma once

#include "comm/world_check.h"
#include "interop/safetensors.h"

namespace ulmfit::train {

// A hash of the bytes of each tensor, XXH3 on the CPU (a tensor of a GPU is copied there, one at a time): as fast as
// memory.
comm::StateHashes state_hashes(const interop::NamedTensors& tensors);

}  // namespace ulmfit::train
