// Dropout masks drawn where they are needed, the bits of base/random.h's.
#pragma once

#include <ATen/core/Tensor.h>

#include "base/random.h"
#include "kernels/launcher.h"

namespace ulmfit::kernels {

// to = from * the mask of `key`, rounded to the type of `to`. Both contiguous, of as many elements (below 2^34), float32,
// or one of them bfloat16.
void masked_copy(Launcher& launcher, const RandomKey& key, double drop, const at::Tensor& from, const at::Tensor& to);

// [streams, width] float32: row r is the mask of `key` with stream streams[r] + key.stream. streams: int64, contiguous.
at::Tensor locked_masks(Launcher& launcher, const RandomKey& key, double drop, const at::Tensor& streams,
                        std::int64_t width);

// Float32 in the shape of `places` (int64 in [0, 2^34)): the elements of the mask of `key` there.
at::Tensor mask_at(Launcher& launcher, const RandomKey& key, double drop, const at::Tensor& places);

}  // namespace ulmfit::kernels
