#include "model/lstm_cell.h"

#include <type_traits>

#include "base/cpu_clones.h"
#include "model/vector_math.h"

namespace ulmfit::model {
namespace {

// Below, without __restrict the compiler takes each result for a possible input of the next unit and makes no vector code.

template <class Number, bool kOutput, bool kKeep>
__attribute__((always_inline)) inline void forward_row(const LstmTile& tile, const float* __restrict products,
                                                       const float* __restrict bias, const float* __restrict c,
                                                       float* __restrict next_c, float* __restrict h,
                                                       Number* __restrict state, Number* __restrict gates) {
  const std::int64_t w = tile.width, p = tile.stride;
  for (std::int64_t u = 0; u < tile.units; ++u) {
    const float i = sigmoid(products[u] + bias[u]);
    const float f = sigmoid(products[p + u] + bias[w + u]);
    const float g = hyperbolic_tangent(products[2 * p + u] + bias[2 * w + u]);
    const float o = sigmoid(products[3 * p + u] + bias[3 * w + u]);
    const float next = f * c[u] + i * g;
    const float out = o * hyperbolic_tangent(next);
    next_c[u] = next;
    if constexpr (kOutput) h[u] = out;
    if constexpr (!std::is_same_v<Number, float>) store(state + u, out);
    if constexpr (kKeep) {
      store(gates + u, i);
      store(gates + w + u, f);
      store(gates + 2 * w + u, g);
      store(gates + 3 * w + u, o);
    }
  }
}

template <bool kRecurrent>
__attribute__((always_inline)) inline void backward_row(const LstmTile& tile, const float* __restrict products,
                                                        const float* __restrict h_gradient,
                                                        const c10::BFloat16* __restrict gates, const float* __restrict c,
                                                        const float* __restrict next_c, float* __restrict c_gradient,
                                                        c10::BFloat16* __restrict gate_gradient) {
  const std::int64_t w = tile.width;
  for (std::int64_t u = 0; u < tile.units; ++u) {
    const float i = widened(gates[u]);
    const float f = widened(gates[w + u]);
    const float g = widened(gates[2 * w + u]);
    const float o = widened(gates[3 * w + u]);
    const float t = hyperbolic_tangent(next_c[u]);
    const float dh = kRecurrent ? h_gradient[u] + products[u] : h_gradient[u];
    const float dc = c_gradient[u] + dh * o * (1.0F - t * t);
    store(gate_gradient + u, dc * g * i * (1.0F - i));
    store(gate_gradient + w + u, dc * c[u] * f * (1.0F - f));
    store(gate_gradient + 2 * w + u, dc * i * (1.0F - g * g));
    store(gate_gradient + 3 * w + u, dh * t * o * (1.0F - o));
    c_gradient[u] = dc * f;
  }
}

template <class Number>
__attribute__((always_inline)) inline void forward_rows(const LstmTile& tile, const float* products, const float* bias,
                                                        const float* c, float* next_c, float* h, Number* state,
                                                        Number* gates) {
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const std::int64_t at = r * tile.width;
    const float* row = products + r * 4 * tile.stride;
    if (h == nullptr) {
      forward_row<Number, false, false>(tile, row, bias, c + at, next_c + at, nullptr, state + at, nullptr);
    } else if (gates == nullptr) {
      forward_row<Number, true, false>(tile, row, bias, c + at, next_c + at, h + at, state + at, nullptr);
    } else {
      forward_row<Number, true, true>(tile, row, bias, c + at, next_c + at, h + at, state + at, gates + 4 * at);
    }
  }
}

__attribute__((always_inline)) inline void backward_rows(const LstmTile& tile, const float* products,
                                                         const float* h_gradient, const c10::BFloat16* gates,
                                                         const float* c, const float* next_c, float* c_gradient,
                                                         c10::BFloat16* gate_gradient) {
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const std::int64_t at = r * tile.width;
    if (products == nullptr) {
      backward_row<false>(tile, nullptr, h_gradient + at, gates + 4 * at, c + at, next_c + at, c_gradient + at,
                          gate_gradient + 4 * at);
    } else {
      backward_row<true>(tile, products + r * tile.stride, h_gradient + at, gates + 4 * at, c + at, next_c + at,
                         c_gradient + at, gate_gradient + 4 * at);
    }
  }
}

}  // namespace

void lstm_cell(const LstmTile& tile, const float* products, const float* bias, const float* c, float* next_c, float* h,
               float* state, float* gates) {
  run_cpu_clone<forward_rows<float>>(tile, products, bias, c, next_c, h, state, gates);
}

void lstm_cell(const LstmTile& tile, const float* products, const float* bias, const float* c, float* next_c, float* h,
               c10::BFloat16* state, c10::BFloat16* gates) {
  run_cpu_clone<forward_rows<c10::BFloat16>>(tile, products, bias, c, next_c, h, state, gates);
}

void lstm_cell_backward(const LstmTile& tile, const float* products, const float* h_gradient, const c10::BFloat16* gates,
                        const float* c, const float* next_c, float* c_gradient, c10::BFloat16* gate_gradient) {
  run_cpu_clone<backward_rows>(tile, products, h_gradient, gates, c, next_c, c_gradient, gate_gradient);
}

}  // namespace ulmfit::model
