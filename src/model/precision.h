// What the large products and the LSTM compute in. Weights, moments, losses, norms, penalties and carried states are
// float32 either way.
#pragma once

namespace ulmfit::model {

enum class Precision {
  kFloat32,
  kBfloat16,  // inputs and weights of products rounded to 8 bits of mantissa, sums in float32
};

}  // namespace ulmfit::model
