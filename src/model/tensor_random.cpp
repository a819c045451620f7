#include "model/tensor_random.h"

#include <ATen/ATen.h>

#include <array>
#include <utility>

namespace ulmfit::model {
namespace {

constexpr std::int64_t kWord = 0xFFFFFFFF;  // an int64 that holds a 32-bit word

using Block = std::array<at::Tensor, 4>;  // philox4x32's, of many counters; int64, the shapes broadcast

// high and low word of a * b; the product's sign is one of its bits.
std::pair<at::Tensor, at::Tensor> words_of_product(const at::Tensor& a, std::int64_t b) {
  const at::Tensor product = a * b;
  return {product.bitwise_right_shift(32).bitwise_and_(kWord), product.bitwise_and(kWord)};
}

// random_block of `key` at each of `blocks`.
Block random_blocks(const RandomKey& key, const at::Tensor& blocks) {
  // The counter's other words, as random_block puts them together.
  const auto step = static_cast<std::int64_t>(key.step);
  const std::int64_t last = ((step >> 32) & 0xFFFF) | (static_cast<std::int64_t>(key.purpose) << 16);
  const auto scalar = [&](std::int64_t value) { return at::full({}, value, blocks.options()); };
  Block c{blocks, scalar(key.stream), scalar(step & kWord), scalar(last)};
  auto k0 = static_cast<std::uint32_t>(key.seed);
  auto k1 = static_cast<std::uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const auto [high0, low0] = words_of_product(c[0], 0xD2511F53);
    const auto [high1, low1] = words_of_product(c[2], 0xCD9E8D57);
    c = {high1.bitwise_xor(c[1]).bitwise_xor_(std::int64_t{k0}), low1,
         high0.bitwise_xor(c[3]).bitwise_xor_(std::int64_t{k1}), low0};
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return c;
}

at::Tensor factors(const at::Tensor& kept, double drop) { return kept.to(at::kFloat).mul_(1.0 / (1.0 - drop)); }

}  // namespace

at::Tensor dropout_mask(const RandomKey& key, double drop, std::int64_t n, at::Device device) {
  const auto threshold = static_cast<std::int64_t>(keep_threshold(drop));
  const Block words = random_blocks(key, at::arange((n + 3) / 4, at::TensorOptions(device).dtype(at::kLong)));
  const auto kept = [&](std::size_t i) { return words[i].lt(threshold); };
  return factors(at::stack({kept(0), kept(1), kept(2), kept(3)}, 1).flatten().narrow(0, 0, n), drop);
}

at::Tensor dropout_mask_at(const RandomKey& key, const at::Tensor& indices, double drop) {
  const Block words = random_blocks(key, indices.bitwise_right_shift(2));
  const at::Tensor word =
      at::stack({words[0], words[1], words[2], words[3]}, -1).gather(-1, indices.bitwise_and(3).unsqueeze(-1)).squeeze(-1);
  return factors(word.lt(static_cast<std::int64_t>(keep_threshold(drop))), drop);
}

}  // namespace ulmfit::model
