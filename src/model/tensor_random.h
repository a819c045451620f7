// The draws of base/random.h made by tensor operations, bit for bit, on the device where they are needed: a GPU that waits
// for a core to draw 11 million words of DropConnect, and for their copy, waits longer than a step of it takes. On the CPU
// the loops of base/random.h are faster.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "base/random.h"

namespace ulmfit::model {

// [S, width] float32: row s is what fill_dropout_mask makes of `key` with stream `streams[s]` ([S] int64, on the device);
// key.stream is not read. width below 2^34.
at::Tensor dropout_masks(const RandomKey& key, const at::Tensor& streams, double drop, std::int64_t width);

// Float32 in the shape of `indices` (int64 in [0, 2^34)): the elements of that mask of `key` at these places.
at::Tensor dropout_mask_at(const RandomKey& key, const at::Tensor& indices, double drop);

}  // namespace ulmfit::model
