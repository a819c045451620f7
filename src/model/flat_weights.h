// The weights of an LSTM layer as cuDNN keeps them: one behind the other in a buffer of its own. Weights that lie elsewhere
// at::lstm copies into such a buffer at every call, asks cuDNN for the place of each gate, and warns.
#pragma once

#include <ATen/core/Tensor.h>

#include "base/random.h"

namespace ulmfit::model {

struct FlatWeights {
  at::Tensor weight_ih;  // [4 W, I], at the beginning of the buffer, the others behind it in this order
  at::Tensor weight_hh;  // [4 W, W]
  at::Tensor bias_ih;    // [4 W]
  at::Tensor bias_hh;    // [4 W]
};

// A mask over the recurrent weights.
struct WeightMask {
  RandomKey draws;
  double drop = 0;  // 0: none
};

// Copies of `weights` in `type`, the recurrent ones times the mask. Differentiable in the weights.
FlatWeights flat_weights(const FlatWeights& weights, const WeightMask& mask, at::ScalarType type);

}  // namespace ulmfit::model
