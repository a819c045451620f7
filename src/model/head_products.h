// The three products of the softmax head on the CPU, in float32, by the block kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ulmfit::model {

// Made for one weight [V, E], as it is now. All tensors are float32, contiguous, on the CPU; results depend on no number of
// threads. has_block_kernels(at::kFloat) must be true.
class HeadProducts {
 public:
  explicit HeadProducts(const at::Tensor& weight);

  // logits [n, V] = hidden [n, E] * weight^T.
  void logits(const at::Tensor& hidden, at::Tensor& logits) const;

  // hidden_gradient [n, E] = gradient [n, V] * weight.
  void hidden_gradient(const at::Tensor& gradient, at::Tensor& hidden_gradient) const;

  // Adds gradient^T * hidden to sums of its own, which finish() adds to `weight_gradient` [V, E].
  void add_weight_gradient(const at::Tensor& gradient, const at::Tensor& hidden);
  void finish(at::Tensor weight_gradient) const;

 private:
  at::Tensor weight_;
  at::Tensor packed_;  // weight^T cut into panels of words, [V / kWords, E, kWords]; the last panel is padded with zeros
  at::Tensor sums_;    // of the weight's gradient, laid out alike; undefined before the first block
};

}  // namespace ulmfit::model
