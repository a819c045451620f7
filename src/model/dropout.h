// The five dropouts of AWD-LSTM (Merity et al. 2017) as masks of counter-based draws: the same on every rank count.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "base/random.h"
#include "model/shape.h"

namespace ulmfit::model {

// [B, width] float32: row b is the inverted-dropout mask of stream key.streams[b], constant over time. `layer` tells
// several masks of one purpose apart.
at::Tensor locked_mask(const MaskKey& key, Purpose purpose, std::uint32_t layer, double drop, std::int64_t width,
                       at::Device device);

// [rows, cols] float32 on the CPU: one mask that all ranks share.
at::Tensor shared_mask(const MaskKey& key, Purpose purpose, std::uint32_t layer, double drop, std::int64_t rows,
                       std::int64_t cols);

// The draws that shared_mask() is made of, element by element.
RandomKey draws_of_shared_mask(const MaskKey& key, Purpose purpose, std::uint32_t layer);

// weight * mask, differentiable in weight. The mask is not.
at::Tensor drop_weights(const at::Tensor& weight, const at::Tensor& mask);

// hidden [T, B, W] * mask [B, W] in the type of `hidden`, rounded once; differentiable in `hidden`.
at::Tensor drop_hidden(const at::Tensor& hidden, const at::Tensor& mask);

// Rows `ids` ([T, B] int64) of `weight` [V, E] as [T, B, E], each word type dropped whole with probability `drop` and
// scaled by 1 / (1 - drop) else; key == nullptr: no dropout. The backward pass adds into weight.grad() directly, which must
// be defined (the tied head adds to the same buffer): no dense [V, E] temporary is made.
at::Tensor embed(const at::Tensor& ids, const at::Tensor& weight, double drop, const MaskKey* key);

}  // namespace ulmfit::model
