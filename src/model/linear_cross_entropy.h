// Linear layer and cross-entropy as one operation: logits are made, used and dropped block by block of rows, never whole.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/precision.h"

namespace ulmfit::model {

struct CrossEntropy {
  at::Tensor loss;  // scalar float32, differentiable: scale * sum of the rows' losses
  double nats = 0;  // the unscaled sum, accumulated in double
};

// hidden [N, E], weight [V, E], bias [V], targets [N] int64 (-1: ignored). The gradient is made in the forward pass (when
// gradients are wanted at all): backward only multiplies. Gradients of weight and bias are ADDED to weight.grad() and
// bias.grad() directly during the forward pass, scaled by `scale`; both must be defined if they require gradients, and the
// caller must call backward on the loss with gradient 1. Rows with target -1 count for nothing. In bfloat16 the three
// products round their factors and results (of the weight's gradient: block by block of rows); softmax, losses and the sum
// of the blocks are float32.
CrossEntropy linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias,
                                  const at::Tensor& targets, double scale, Precision precision = Precision::kFloat32);

}  // namespace ulmfit::model
