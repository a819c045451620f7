#include "base/random.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "base/cpu_clones.h"

namespace ulmfit {

double random_normal(const RandomKey& key, std::uint64_t index) {
  const PhiloxBlock b = random_block(key, static_cast<std::uint32_t>(index));
  const double u1 = (b[0] + 1.0) * (1.0 / 4294967296.0);  // (0, 1]: the logarithm stays finite
  const double u2 = b[1] * (1.0 / 4294967296.0);
  return std::sqrt(-2.0 * std::log(u1)) * std::cos(2.0 * std::numbers::pi * u2);
}

std::uint64_t keep_threshold(double drop) { return static_cast<std::uint64_t>(std::llround((1.0 - drop) * 4294967296.0)); }

namespace {

__attribute__((always_inline)) inline void fill_mask(const RandomKey& key, double drop, float* out, std::size_t n) {
  const std::uint64_t threshold = keep_threshold(drop);
  const auto scale = static_cast<float>(1.0 / (1.0 - drop));
  // Sixteen blocks at once in structure-of-arrays form, so that the compiler turns a round into vector instructions.
  constexpr std::size_t kLanes = 16;
  const PhiloxBlock first = {
      0, key.stream, static_cast<std::uint32_t>(key.step),
      (static_cast<std::uint32_t>(key.step >> 32) & 0xFFFFU) | (static_cast<std::uint32_t>(key.purpose) << 16)};
  std::size_t i = 0;
  std::uint32_t block = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes, block += kLanes) {
    std::uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
    for (std::size_t l = 0; l < kLanes; ++l) {
      c0[l] = block + static_cast<std::uint32_t>(l);
      c1[l] = first[1];
      c2[l] = first[2];
      c3[l] = first[3];
    }
    auto k0 = static_cast<std::uint32_t>(key.seed);
    auto k1 = static_cast<std::uint32_t>(key.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      for (std::size_t l = 0; l < kLanes; ++l) {
        const std::uint64_t p0 = 0xD2511F53ULL * c0[l];
        const std::uint64_t p1 = 0xCD9E8D57ULL * c2[l];
        c0[l] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[l] ^ k0;
        c1[l] = static_cast<std::uint32_t>(p1);
        c2[l] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[l] ^ k1;
        c3[l] = static_cast<std::uint32_t>(p0);
      }
      k0 += 0x9E3779B9U;
      k1 += 0xBB67AE85U;
    }
    for (std::size_t l = 0; l < kLanes; ++l) {
      out[i + 4 * l + 0] = c0[l] < threshold ? scale : 0.0F;
      out[i + 4 * l + 1] = c1[l] < threshold ? scale : 0.0F;
      out[i + 4 * l + 2] = c2[l] < threshold ? scale : 0.0F;
      out[i + 4 * l + 3] = c3[l] < threshold ? scale : 0.0F;
    }
  }
  for (; i < n; i += 4, ++block) {
    const PhiloxBlock b = random_block(key, block);
    for (std::size_t j = 0; j < 4 && i + j < n; ++j) out[i + j] = b[j] < threshold ? scale : 0.0F;
  }
}

}  // namespace

void fill_dropout_mask(const RandomKey& key, double drop, float* out, std::size_t n) {
  run_cpu_clone<fill_mask>(key, drop, out, n);
}

std::vector<std::uint32_t> random_permutation(const RandomKey& key, std::uint32_t n) {
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  for (std::uint32_t i = n; i > 1; --i) std::swap(order[i - 1], order[random_below(key, i, i)]);
  return order;
}

}  // namespace ulmfit
