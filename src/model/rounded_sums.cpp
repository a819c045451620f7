#include "model/rounded_sums.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/cpu_clones.h"
#include "base/error.h"
#include "base/log.h"
#include "model/vector_math.h"

namespace ulmfit::model {
namespace {

__attribute__((always_inline)) inline void add_row(float* __restrict sum, const c10::BFloat16* __restrict part,
                                                   std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += widened(part[i]);
}

void add(float* sum, const c10::BFloat16* part, std::int64_t count) { run_cpu_clone<add_row>(sum, part, count); }

constexpr std::int64_t kGrain = 2048;  // floats that stay in the first-level cache

// libtorch has it for CUDA alone, and refused a float32 summand in some versions.
bool has_product_that_adds(at::Device device) {
  const at::TensorOptions there(device);
  const at::Tensor ones = at::ones({16, 16}, there.dtype(at::kBFloat16));
  const at::Tensor sum = at::full({16, 16}, 1.0 / 1024, there);  // which bfloat16 would round away beside 16
  at::Tensor out = sum.clone();
  std::string why = "its result is another";
  try {
    at::addmm_out(out, out, ones.t(), ones, at::kFloat);
  } catch (const c10::OutOfMemoryError&) {
    throw;  // says nothing about the product
  } catch (const c10::Error& e) {
    why = e.what_without_backtrace();
  }
  const bool has = out.equal(sum + 16);
  if (!has)
    log::info("gpu", str("the head's gradients are added in two steps, this libtorch has no product that adds: ", why));
  return has;
}

}  // namespace

bool add_rounded_product(at::Tensor sum, const at::Tensor& a, const at::Tensor& b) {
  if (sum.is_cpu()) return false;
  static const bool has = has_product_that_adds(sum.device());
  if (has) at::addmm_out(sum, sum, a, b, at::kFloat);
  return has;
}

void add_rounded(at::Tensor sum, const at::Tensor& part) {
  if (!sum.is_cpu()) {
    sum.add_(part);
    return;
  }
  TORCH_CHECK(sum.sizes() == part.sizes() && sum.is_contiguous() && part.is_contiguous(), "add_rounded: sum ", sum.sizes(),
              " and part ", part.sizes(), " must have one shape and be contiguous");
  auto* to = sum.mutable_data_ptr<float>();
  const auto* from = part.const_data_ptr<at::BFloat16>();
  at::parallel_for(0, sum.numel(), kGrain,
                   [&](std::int64_t begin, std::int64_t end) { add(to + begin, from + begin, end - begin); });
}

void add_rounded_rows(at::Tensor sum, const at::Tensor& part) {
  if (!sum.is_cpu()) {
    sum.add_(part.sum(0, /*keepdim=*/false, at::kFloat));
    return;
  }
  const std::int64_t rows = part.size(0), cols = part.size(1);
  TORCH_CHECK(sum.numel() == cols && sum.is_contiguous() && part.is_contiguous(), "add_rounded_rows: sum ", sum.sizes(),
              " must have the columns of part ", part.sizes(), " and both be contiguous");
  auto* to = sum.mutable_data_ptr<float>();
  const auto* from = part.const_data_ptr<at::BFloat16>();
  at::parallel_for(0, (cols + kGrain - 1) / kGrain, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin * kGrain; first < std::min(end * kGrain, cols); first += kGrain) {
      for (std::int64_t r = 0; r < rows; ++r) add(to + first, from + r * cols + first, std::min(kGrain, cols - first));
    }
  });
}

}  // namespace ulmfit::model
