// Random tensors that are the same in every process: draws of base/random.h.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/random.h"

namespace ulmfit::test {

// float32 with magnitudes from 2^-8 to 2^8, so that the order of a sum shows in its last bits.
inline at::Tensor random_tensor(const std::vector<std::int64_t>& shape, std::uint32_t stream, std::uint64_t seed = 1) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  const RandomKey key{seed, Purpose::kBench, 0, stream};
  float* out = tensor.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    const double sign = random_uniform(key, 2 * index) - 0.5;
    out[i] = static_cast<float>(sign * std::exp2(16 * random_uniform(key, 2 * index + 1) - 8));
  }
  return tensor;
}

}  // namespace ulmfit::test
