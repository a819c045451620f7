// Cross-entropy of rows of logits.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/launcher.h"

namespace ulmfit::kernels {

struct RowLosses {
  at::Tensor losses;     // [rows] float32; 0 where the target is -1, NaN where it lies outside of the columns
  at::Tensor bias_sums;  // [columns] float32: sums of the gradient over the rows; undefined without gradient
};

// logits [rows, columns] float32 or bfloat16, bias [columns] float32 not yet added, targets [rows] int64, all contiguous.
// With `gradient` the logits become scale * (softmax - 1 at the target), rounded to their type, 0 in a row with target -1.
RowLosses row_losses(Launcher& launcher, const at::Tensor& logits, const at::Tensor& bias, const at::Tensor& targets,
                     double scale, bool gradient);

}  // namespace ulmfit::kernels
