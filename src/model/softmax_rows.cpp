#include "model/softmax_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/cpu_clones.h"

namespace ulmfit::model {
namespace {

// exp(x) for x <= 0 to about one unit in the last place: 2^n * p(f) with |f| <= ln 2 / 2 and p the Taylor polynomial of
// degree 7. Below -87 the result is 0: such a term is lost beside the row's maximum of 1 anyway.
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

constexpr std::int64_t kLanes = 64;  // partial sums: fixed, so that every instruction set adds in the same order

}  // namespace

ULMFIT_CPU_CLONES
void softmax_rows(float* logits, std::int64_t rows, std::int64_t cols, std::int64_t stride, const float* bias,
                  const std::int64_t* target, float* loss, float scale, bool with_gradient) {
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = logits + r * stride;
    loss[r] = 0;
    if (target[r] < 0) {
      if (with_gradient) std::fill(row, row + cols, 0.0F);
      continue;
    }
    const std::int64_t whole = cols - cols % kLanes;
    float top[kLanes];
    std::fill(top, top + kLanes, -std::numeric_limits<float>::infinity());
    for (std::int64_t j = 0; j < whole; j += kLanes) {
      for (std::int64_t l = 0; l < kLanes; ++l) {
        row[j + l] += bias[j + l];
        top[l] = top[l] > row[j + l] ? top[l] : row[j + l];
      }
    }
    for (std::int64_t j = whole; j < cols; ++j) {
      row[j] += bias[j];
      top[j - whole] = std::max(top[j - whole], row[j]);
    }
    float maximum = top[0];
    for (std::int64_t l = 1; l < kLanes; ++l) maximum = std::max(maximum, top[l]);
    const float target_logit = row[target[r]];

    float sums[kLanes] = {};
    for (std::int64_t j = 0; j < whole; j += kLanes) {
      for (std::int64_t l = 0; l < kLanes; ++l) {
        const float e = exp_nonpositive(row[j + l] - maximum);
        row[j + l] = e;
        sums[l] += e;
      }
    }
    for (std::int64_t j = whole; j < cols; ++j) {
      row[j] = exp_nonpositive(row[j] - maximum);
      sums[j - whole] += row[j];
    }
    double total = 0;
    for (const float sum : sums) total += static_cast<double>(sum);
    loss[r] = static_cast<float>(std::log(total) + static_cast<double>(maximum) - static_cast<double>(target_logit));
    if (with_gradient) {
      const auto factor = static_cast<float>(static_cast<double>(scale) / total);
      for (std::int64_t j = 0; j < cols; ++j) row[j] *= factor;
      row[target[r]] -= scale;
    }
  }
}

}  // namespace ulmfit::model
