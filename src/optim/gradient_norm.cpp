#include "optim/gradient_norm.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <stdexcept>

#include "base/activity.h"
#include "base/error.h"

namespace ulmfit::optim {
namespace {

// Partial sums that don't wait for each other: element i goes to sum i % kLanes. Part of the result's definition.
constexpr std::size_t kLanes = 16;

// The square of a float is exact in a double, so the order of the additions alone fixes the bits of the result.
template <class T>
double sum_of_squares(const T* x, std::size_t n) {
  std::array<double, kLanes> sums{};
  const std::size_t whole = n - n % kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const auto value = static_cast<double>(x[i + lane]);
      sums[lane] += value * value;
    }
  }
  for (std::size_t i = whole; i < n; ++i) sums[i - whole] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

double sum_of_squares(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  const auto n = static_cast<std::size_t>(flat.numel());
  if (flat.scalar_type() == at::kFloat) return sum_of_squares(flat.const_data_ptr<float>(), n);
  if (flat.scalar_type() == at::kDouble) return sum_of_squares(flat.const_data_ptr<double>(), n);
  throw std::invalid_argument(ulmfit::str("global_norm: gradients are float32 or float64, not ", flat.scalar_type()));
}

}  // namespace

at::Tensor global_norm(const std::vector<at::Tensor>& gradients) {
  const Activity activity("norm and clip");
  const at::NoGradGuard no_grad;
  if (!gradients.empty() && !gradients.front().is_cpu()) {
    return at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients, 2, at::kDouble)));
  }
  double total = 0;
  for (const at::Tensor& gradient : gradients) total += sum_of_squares(gradient);
  return at::scalar_tensor(std::sqrt(total), at::kDouble);
}

void clip_(const std::vector<at::Tensor>& gradients, double norm, double max_norm) {
  const Activity activity("norm and clip");
  if (!(norm > max_norm)) return;
  const at::NoGradGuard no_grad;
  at::_foreach_mul_(gradients, max_norm / norm);
}

}  // namespace ulmfit::optim
