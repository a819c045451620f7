#include "model/softmax_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/cpu_clones.h"
#include "model/vector_math.h"

namespace ulmfit::model {
namespace {

constexpr std::int64_t kLanes = 64;  // partial sums: fixed, so that every instruction set adds in the same order

// One row. `work` [cols] holds the row while it is float32; it may be `logits`.
template <class Number>
__attribute__((always_inline)) inline float softmax_row(Number* logits, float* work, std::int64_t cols, const float* bias,
                                                        std::int64_t target, float scale, bool with_gradient) {
  const std::int64_t whole = cols - cols % kLanes;
  float top[kLanes];
  std::fill(top, top + kLanes, -std::numeric_limits<float>::infinity());
  for (std::int64_t j = 0; j < whole; j += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) {
      const float logit = widened(logits[j + l]) + bias[j + l];
      work[j + l] = logit;
      top[l] = top[l] > logit ? top[l] : logit;
    }
  }
  for (std::int64_t j = whole; j < cols; ++j) {
    work[j] = widened(logits[j]) + bias[j];
    top[j - whole] = std::max(top[j - whole], work[j]);
  }
  float maximum = top[0];
  for (std::int64_t l = 1; l < kLanes; ++l) maximum = std::max(maximum, top[l]);
  const float target_logit = work[target];

  float sums[kLanes] = {};
  for (std::int64_t j = 0; j < whole; j += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) {
      const float e = exp_nonpositive(work[j + l] - maximum);
      work[j + l] = e;
      sums[l] += e;
    }
  }
  for (std::int64_t j = whole; j < cols; ++j) {
    work[j] = exp_nonpositive(work[j] - maximum);
    sums[j - whole] += work[j];
  }
  double total = 0;
  for (const float sum : sums) total += static_cast<double>(sum);
  if (with_gradient) {
    const auto factor = static_cast<float>(static_cast<double>(scale) / total);
    const float at_target = work[target] * factor - scale;
    for (std::int64_t j = 0; j < cols; ++j) store(logits + j, work[j] * factor);
    store(logits + target, at_target);
  }
  return static_cast<float>(std::log(total) + static_cast<double>(maximum) - static_cast<double>(target_logit));
}

template <class Number>
void clear(Number* row, std::int64_t cols) {
  for (std::int64_t j = 0; j < cols; ++j) row[j] = Number(0.0F);
}

__attribute__((always_inline)) inline void float_rows(float* logits, std::int64_t rows, std::int64_t cols,
                                                      std::int64_t stride, const float* bias, const std::int64_t* target,
                                                      float* loss, float scale, bool with_gradient) {
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = logits + r * stride;
    loss[r] = target[r] < 0 ? 0 : softmax_row(row, row, cols, bias, target[r], scale, with_gradient);
    if (target[r] < 0 && with_gradient) clear(row, cols);
  }
}

__attribute__((always_inline)) inline void bfloat16_rows(c10::BFloat16* logits, float* work, std::int64_t rows,
                                                         std::int64_t cols, std::int64_t stride, const float* bias,
                                                         const std::int64_t* target, float* loss, float scale,
                                                         bool with_gradient) {
  for (std::int64_t r = 0; r < rows; ++r) {
    c10::BFloat16* row = logits + r * stride;
    loss[r] = target[r] < 0 ? 0 : softmax_row(row, work, cols, bias, target[r], scale, with_gradient);
    if (target[r] < 0 && with_gradient) clear(row, cols);
  }
}

}  // namespace

void softmax_rows(float* logits, std::int64_t rows, std::int64_t cols, std::int64_t stride, const float* bias,
                  const std::int64_t* target, float* loss, float scale, bool with_gradient) {
  run_cpu_clone<float_rows>(logits, rows, cols, stride, bias, target, loss, scale, with_gradient);
}

void softmax_rows(c10::BFloat16* logits, std::int64_t rows, std::int64_t cols, std::int64_t stride, const float* bias,
                  const std::int64_t* target, float* loss, float scale, bool with_gradient) {
  std::vector<float> work(static_cast<std::size_t>(cols));
  run_cpu_clone<bfloat16_rows>(logits, work.data(), rows, cols, stride, bias, target, loss, scale, with_gradient);
}

}  // namespace ulmfit::model
