// A language model moves to another vocabulary: rows of words that both know are copied, new rows start as the mean of all
// old rows (and biases as the mean bias), as fastai's match_embeds does.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace ulmfit::model {

// source[i]: the old id of new word i, or -1. Returns the new [V', E] matrix / [V'] vector, detached.
at::Tensor transfer_rows(const at::Tensor& old_rows, const std::vector<std::int64_t>& source);

}  // namespace ulmfit::model
