// How many rows of logits the softmax head makes at a time where kernels of ours go over them.
#pragma once

#include <cstdint>

namespace ulmfit::model {

struct HeadLayer {
  std::int64_t vocabulary;
  std::int64_t width;         // of the hidden states
  std::int64_t number_bytes;  // of a logit, and of a factor of the products
};

// A multiple of 128, so that the bytes which leave the cache of `cache_bytes` are fewest, for each row of hidden states: a
// block goes over its logits six times (three products, losses, gradient twice), which is taken to cost nothing where half
// the cache holds them, and over the weight twice and its float32 gradient twice. Either so many rows as fit, or so many as
// 256 MB hold.
std::int64_t head_block_rows(const HeadLayer& layer, std::int64_t cache_bytes);

}  // namespace ulmfit::model
