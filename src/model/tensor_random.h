// The draws of base/random.h made by tensor operations, bit for bit, on the device where they are needed: a GPU that waits
// for a core to draw 11 million words of DropConnect, and for their copy, waits longer than a step of it takes. On the CPU
// the loops of base/random.h are faster.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "base/random.h"

namespace ulmfit::model {

// [n] float32 on `device`: what fill_dropout_mask makes. n below 2^34.
at::Tensor dropout_mask(const RandomKey& key, double drop, std::int64_t n, at::Device device);

// Float32 in the shape of `indices` (int64 in [0, 2^34)): the elements of that mask of `key` at these places.
at::Tensor dropout_mask_at(const RandomKey& key, const at::Tensor& indices, double drop);

}  // namespace ulmfit::model
