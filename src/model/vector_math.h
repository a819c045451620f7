// Scalar functions for loops that the compiler turns into vector code: no branch, no call, no table.
#pragma once

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace ulmfit::model {

// exp(x) for x <= 0 to about one unit in the last place: 2^n * p(f) with |f| <= ln 2 / 2 and p the Taylor polynomial of
// degree 7. Below -87 the result is 0.
__attribute__((always_inline)) inline float exp_nonpositive(float x) {
  const float clamped = std::max(x, -87.0F);
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to the nearest integer
  const float n = (clamped * 1.44269504F + kRound) - kRound;
  const float f = (clamped - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.0F / 5040;
  p = p * f + 1.0F / 720;
  p = p * f + 1.0F / 120;
  p = p * f + 1.0F / 24;
  p = p * f + 1.0F / 6;
  p = p * f + 0.5F;
  p = p * f + 1.0F;
  p = p * f + 1.0F;
  const float scaled = std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23) * p;
  return x < -87.0F ? 0.0F : scaled;
}

// 1 / (1 + exp(-x)).
__attribute__((always_inline)) inline float sigmoid(float x) {
  const float e = exp_nonpositive(-std::fabs(x));
  const float positive = 1.0F / (1.0F + e);
  const float negative = e * positive;
  return x >= 0 ? positive : negative;
}

// tanh(x) to about two units in the last place: near 0, where 1 - exp(-2 |x|) has few digits left, by Cephes' polynomial.
__attribute__((always_inline)) inline float hyperbolic_tangent(float x) {
  const float e = exp_nonpositive(-2.0F * std::fabs(x));
  const float far = std::copysign((1.0F - e) / (1.0F + e), x);
  const float z = x * x;
  float p = -5.70498872745e-3F;
  p = p * z + 2.06390887954e-2F;
  p = p * z - 5.37397155531e-2F;
  p = p * z + 1.33314422036e-1F;
  p = p * z - 3.33332819422e-1F;
  const float near = x + x * z * p;
  return std::fabs(x) < 0.625F ? near : far;
}

__attribute__((always_inline)) inline float widened(float x) { return x; }
__attribute__((always_inline)) inline float widened(c10::BFloat16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.x) << 16);
}

__attribute__((always_inline)) inline void store(float* out, float x) { *out = x; }
// To the nearest, ties to even.
__attribute__((always_inline)) inline void store(c10::BFloat16* out, float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  out->x = static_cast<std::uint16_t>(x != x ? 0x7FC0U : rounded);
}

}  // namespace ulmfit::model
