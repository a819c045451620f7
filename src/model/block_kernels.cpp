#include "model/block_kernels.h"

#include <ATen/ATen.h>
#include <ATen/cpu/Utils.h>
#include <ATen/native/CPUBlas.h>

#include <array>
#include <exception>

#include "base/cpu_clones.h"

namespace ulmfit::model {
namespace {

// By torch's name for it.
bool has(const char* instructions) {
  const auto all = at::cpu::get_cpu_capabilities();
  const auto found = all.find(instructions);
  return found != all.end() && found->second.isBool() && found->second.toBool();
}

// torch may be built without the kernels, or oneDNN refuse the machine, by exceptions of several kinds: a product with a
// known result tells. Rows of the left factor lie apart, and the product is added to itself.
template <class Number>
bool probe() {
  constexpr std::int64_t kRows = 3, kColumns = 32, kDepth = 8, kStride = 10, kPair = sizeof(float) / sizeof(Number);
  std::array<Number, kRows * kStride> a;
  std::array<Number, kDepth * kColumns> b;
  std::array<float, kRows * kColumns> c;
  const auto left = [](std::int64_t r, std::int64_t k) { return static_cast<float>((r * 5 + k) % 7 - 3); };
  const auto right = [](std::int64_t k, std::int64_t n) { return static_cast<float>((k * 3 + n) % 5 - 2); };
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t k = 0; k < kStride; ++k) a[static_cast<std::size_t>(r * kStride + k)] = left(r, k);
  }
  for (std::int64_t k = 0; k < kDepth; ++k) {
    for (std::int64_t n = 0; n < kColumns; ++n) {
      b[static_cast<std::size_t>((k / kPair * kColumns + n) * kPair + k % kPair)] = right(k, n);
    }
  }
  try {
    for (const bool add : {false, true}) {
      at::native::cpublas::brgemm(kRows, kColumns, kDepth, kStride, kColumns, kColumns, add, a.data(), b.data(), c.data(),
                                  /*is_vnni=*/kPair > 1);
    }
    at::native::cpublas::brgemm_release(/*is_vnni=*/kPair > 1);
  } catch (const std::exception&) {
    return false;
  }
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t n = 0; n < kColumns; ++n) {
      float sum = 0;
      for (std::int64_t k = 0; k < kDepth; ++k) sum += left(r, k) * right(k, n);
      if (c[static_cast<std::size_t>(r * kColumns + n)] != 2 * sum) return false;
    }
  }
  return true;
}

}  // namespace

bool has_block_kernels(at::ScalarType type) {
  if (type == at::kFloat) {
    static const bool available = cpu_level() == CpuLevel::kAvx512 && probe<float>();
    return available;
  }
  if (type == at::kBFloat16) {
    static const bool available = cpu_level() == CpuLevel::kAvx512 && probe<at::BFloat16>();
    return available;
  }
  return false;
}

std::int64_t rows_in_registers(at::ScalarType type) {
  static const bool amx = has("amx_bf16");
  return amx && type == at::kBFloat16 ? 1 : 6;
}

}  // namespace ulmfit::model
