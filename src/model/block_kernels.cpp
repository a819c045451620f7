#include "model/block_kernels.h"

#include <ATen/ATen.h>
#include <ATen/cpu/Utils.h>
#include <ATen/native/CPUBlas.h>

#include <array>

namespace ulmfit::model {
namespace {

bool has_avx512() {
  const auto all = at::cpu::get_cpu_capabilities();
  const auto found = all.find("avx512_f");
  return found != all.end() && found->second.isBool() && found->second.toBool();
}

// torch may be built without the kernels, or oneDNN refuse the machine: a product with a known result tells.
template <class Number>
bool probe(bool in_pairs) {
  constexpr std::int64_t kSize = 16;
  std::array<Number, kSize * kSize> a;
  std::array<Number, kSize * kSize> ones;
  std::array<float, kSize * kSize> c{};
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 7);
  ones.fill(1.0F);
  try {
    at::native::cpublas::brgemm(kSize, kSize, kSize, kSize, kSize, kSize, /*add_C=*/false, a.data(), ones.data(), c.data(),
                                in_pairs);
    at::native::cpublas::brgemm_release(in_pairs);
  } catch (const c10::Error&) {
    return false;
  }
  for (std::size_t r = 0; r < kSize; ++r) {
    float sum = 0;
    for (std::size_t k = 0; k < kSize; ++k) sum += static_cast<float>(a[r * kSize + k]);
    for (std::size_t n = 0; n < kSize; ++n) {
      if (c[r * kSize + n] != sum) return false;
    }
  }
  return true;
}

}  // namespace

bool has_block_kernels(at::ScalarType type) {
  static const bool float32 = has_avx512() && probe<float>(/*in_pairs=*/false);
  static const bool bfloat16 = has_avx512() && probe<at::BFloat16>(/*in_pairs=*/true);
  return type == at::kFloat ? float32 : type == at::kBFloat16 && bfloat16;
}

}  // namespace ulmfit::model
