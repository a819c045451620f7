// What the LSTM and the softmax head compute in. Weights, moments, losses, norms, penalties and the classifier's head are
// float32 either way.
#pragma once

namespace ulmfit::model {

enum class Precision {
  kFloat32,
  kBfloat16,  // factors of products, logits and what is kept for the backward pass are rounded to 8 bits of mantissa
};

}  // namespace ulmfit::model
