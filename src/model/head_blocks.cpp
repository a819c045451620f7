#include "model/head_blocks.h"

#include <algorithm>

namespace ulmfit::model {

std::int64_t head_block_rows(const HeadLayer& layer, std::int64_t cache_bytes) {
  constexpr std::int64_t kUnit = 128;  // rows of a product's tile on GPUs
  constexpr std::int64_t kMostBytes = 256 << 20;
  const std::int64_t row_bytes = layer.vocabulary * layer.number_bytes;
  const auto rows_in = [&](std::int64_t bytes) { return bytes / row_bytes / kUnit * kUnit; };
  const std::int64_t many = std::max(rows_in(kMostBytes), kUnit), fitting = rows_in(cache_bytes / 2);
  if (fitting == 0 || fitting >= many) return many;
  const std::int64_t weight_bytes = layer.vocabulary * layer.width * (2 * layer.number_bytes + 2 * 4);
  const auto traffic = [&](std::int64_t rows, bool fits) { return (fits ? 0 : 6 * row_bytes) + weight_bytes / rows; };
  return traffic(fitting, true) <= traffic(many, false) ? fitting : many;
}

}  // namespace ulmfit::model
