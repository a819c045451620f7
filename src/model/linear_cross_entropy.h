// Linear layer and cross-entropy as one operation: logits are made, used and dropped block by block of rows, never whole.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/precision.h"

namespace ulmfit::model {

struct CrossEntropy {
  at::Tensor loss;  // scalar float32, differentiable: scale * sum of the rows' losses
  at::Tensor nats;  // scalar float64 on the same device: the unscaled sum; reading it waits for a GPU
};

// hidden [N, E], weight [V, E], bias [V], targets [N] int64 (-1: ignored). The gradient is made in the forward pass (when
// gradients are wanted at all): backward only multiplies. Gradients of weight and bias are ADDED to weight.grad() and
// bias.grad() directly during the forward pass, scaled by `scale`; both must be defined if they require gradients, and the
// caller must call backward on the loss with gradient 1. Rows with target -1 count for nothing. In bfloat16 the three
// products round their factors and results (of the weight's gradient block by block of rows, on GPUs whose libtorch has
// add_rounded_product not at all); softmax, losses and the sum of the blocks are float32.
CrossEntropy linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias,
                                  const at::Tensor& targets, double scale, Precision precision = Precision::kFloat32);

// What follows is for losses that are made of such layers.

// A linear layer to V columns, contiguous, with the float32 tensors that its gradients are added to (undefined: none are
// made).
struct LinearLayer {
  at::Tensor weight;  // [V, E]
  at::Tensor bias;    // [V]
  at::Tensor weight_gradient = {};
  at::Tensor bias_gradient = {};
  // [N] float32: the last column's logits before its bias, instead of those that the layer computes, and their gradient
  // (written). The last row of the weight must be zeros: its gradient means nothing then.
  at::Tensor last_logits = {};
  at::Tensor last_gradient = {};
};

// The unscaled sum of the rows' losses (scalar float64) as linear_cross_entropy makes it, outside of autograd. hidden [N,
// E] and targets [N] contiguous. `hidden_gradient` [N, E] is written, the layer's gradients are added to, all scaled by
// `scale`; undefined: no gradient is made.
at::Tensor sum_of_cross_entropies(const at::Tensor& hidden, const LinearLayer& layer, const at::Tensor& targets,
                                  double scale, Precision precision, const at::Tensor& hidden_gradient);

// Parameters of a loss; those that it does not have are undefined. They are told to autograd, which has nothing to add to
// their gradients, so that who waits for these (comm::GradReducer) sees them complete.
struct LossParameters {
  at::Tensor weight, bias;
  at::Tensor more_weight = {}, more_bias = {};
};

// True if a loss of hidden states `hidden` by `weight` has to make gradients; TORCH_CHECK fails if those of `weight` and
// `bias` are wanted and have no buffers.
bool wants_gradients(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias);

// The scalar `value` (float64) as a loss of `hidden` whose gradient, with 1 as that of the loss, is `gradient` (undefined:
// none).
at::Tensor loss_with_gradient(const at::Tensor& value, const at::Tensor& hidden, const at::Tensor& gradient,
                              const LossParameters& parameters);

}  // namespace ulmfit::model
