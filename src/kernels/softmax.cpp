#include "kernels/softmax.h"

#include <ATen/ATen.h>

#include "kernels/bodies/types.h"

namespace ulmfit::kernels {

RowLosses row_losses(Launcher& launcher, const at::Tensor& logits, const at::Tensor& bias, const at::Tensor& targets,
                     double scale, bool gradient) {
  const bool rounded = logits.scalar_type() == at::kBFloat16;
  TORCH_CHECK(
      (rounded || logits.scalar_type() == at::kFloat) && bias.scalar_type() == at::kFloat &&
          targets.scalar_type() == at::kLong && logits.is_contiguous() && bias.is_contiguous() && targets.is_contiguous() &&
          logits.size(1) == bias.numel() && logits.size(0) == targets.numel() && bias.device() == logits.device() &&
          targets.device() == logits.device(),
      "row_losses: expected logits [rows, columns] of float32 or bfloat16, bias [columns] float32 and targets [rows] "
      "int64 on one device");
  auto rows = static_cast<bodies::Long>(logits.size(0)), columns = static_cast<bodies::Long>(logits.size(1));
  RowLosses result;
  result.losses = at::empty({logits.size(0)}, bias.options());
  if (rows == 0) {
    if (gradient) result.bias_sums = at::zeros_like(bias);
    return result;
  }
  const at::Tensor log_sums = at::empty_like(result.losses);
  void* numbers = logits.mutable_data_ptr();
  const void* bias_data = bias.const_data_ptr();
  const void* target = targets.const_data_ptr();
  void* log_sum = log_sums.mutable_data_ptr();
  void* loss = result.losses.mutable_data_ptr();
  void* of_losses[] = {&numbers, &bias_data, &target, &log_sum, &loss, &columns};
  launcher.launch(rounded ? "row_losses_bfloat16" : "row_losses_float", static_cast<unsigned>(rows), of_losses);
  if (!gradient) return result;
  // Groups of rows, so that there are blocks enough for a GPU: eight times those along 33,000 columns are 1,000.
  bodies::Long height = 64;
  const bodies::Long groups = (rows + height - 1) / height, along = (columns + kThreads - 1) / kThreads;
  const at::Tensor sums = at::empty({static_cast<std::int64_t>(groups), bias.numel()}, bias.options());
  void* sum = sums.mutable_data_ptr();
  auto factor = static_cast<float>(scale);
  void* of_gradients[] = {&numbers, &bias_data, &target, &log_sum, &sum, &rows, &columns, &height, &factor};
  launcher.launch(rounded ? "row_gradients_bfloat16" : "row_gradients_float", static_cast<unsigned>(groups * along),
                  of_gradients);
  result.bias_sums = sums.sum(0);
  return result;
}

}  // namespace ulmfit::kernels
