// The CPU kernel of the softmax head: one pass over a block of logits gives losses and, in place, their gradient.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace ulmfit::model {

// logits: [rows, cols] row-major with `stride` numbers between rows, bias not yet added. For each row r with target[r] >=
// 0:
//   loss[r] = log(sum_j exp(logits[r, j] + bias[j])) - logits[r, target] - bias[target]      (maximum subtracted)
// and, if with_gradient, logits[r, j] = scale * (softmax(r, j) - [j == target]). A row with target -1 has loss 0 and
// gradient 0. Rows are independent and each is summed in one fixed order, so results do not depend on how rows are split
// over threads. Everything between reading a logit and writing a gradient is float32. Without gradient the logits are lost.
void softmax_rows(float* logits, std::int64_t rows, std::int64_t cols, std::int64_t stride, const float* bias,
                  const std::int64_t* target, float* loss, float scale, bool with_gradient);
void softmax_rows(c10::BFloat16* logits, std::int64_t rows, std::int64_t cols, std::int64_t stride, const float* bias,
                  const std::int64_t* target, float* loss, float scale, bool with_gradient);

}  // namespace ulmfit::model
