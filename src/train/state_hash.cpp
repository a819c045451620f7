#include "train/state_hash.h"

#include <ATen/ATen.h>

#include "base/hash.h"

namespace ulmfit::train {

comm::StateHashes state_hashes(const interop::NamedTensors& tensors) {
  comm::StateHashes hashes;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor bytes = tensor.detach().cpu().contiguous();
    hashes.emplace_back(name, hash64(bytes.const_data_ptr(), bytes.nbytes()));
  }
  return hashes;
}

}  // namespace ulmfit::train
