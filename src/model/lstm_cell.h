// The CPU kernels of an LSTM's time step that follow its products. Gates are in the order input, forget, cell, output.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace ulmfit::model {

// A run of units of a batch. Every pointer below is at the first unit of the first row. Tensors of a state are [rows, W],
// gates [rows, 4 W] and biases [4, W], with W = `width`; results of products are [rows, 4, stride] going forward and
// [rows, stride] going back.
struct LstmTile {
  std::int64_t rows;
  std::int64_t units;
  std::int64_t width;
  std::int64_t stride;
};

// next_c = sigmoid(f) c + sigmoid(i) tanh(g), h = sigmoid(o) tanh(next_c) with i, f, g, o = products + bias. `state` is h
// as the next step multiplies it; in float32 it is h itself and not written. `gates` gets the four values after sigmoid and
// tanh for the backward pass; nullptr: there is none. Without `gates` also h may be nullptr in bfloat16: `state` is then
// all.
void lstm_cell(const LstmTile& tile, const float* products, const float* bias, const float* c, float* next_c, float* h,
               float* state, float* gates);
void lstm_cell(const LstmTile& tile, const float* products, const float* bias, const float* c, float* next_c, float* h,
               c10::BFloat16* state, c10::BFloat16* gates);

// The derivative: h's gradient is `products` (nullptr: none) + h_gradient; c_gradient is next_c's and becomes c's.
// gate_gradient [rows, 4 W] is that of products + bias going forward.
void lstm_cell_backward(const LstmTile& tile, const float* products, const float* h_gradient, const c10::BFloat16* gates,
                        const float* c, const float* next_c, float* c_gradient, c10::BFloat16* gate_gradient);

}  // namespace ulmfit::model
