// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// A draw is a pure function of (seed, purpose, step, stream, index): it depends on no rank count, no thread count and
// no earlier draw, so nothing has to be saved and any rank can compute any other rank's draw.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ulmfit {

// What a draw is for. The numbers are part of the checkpoint contract: never reuse or renumber one.
enum class Purpose : std::uint32_t {
  kInit = 1,               // weight initialisation; stream = parameter number
  kDocumentOrder = 2,      // permutation of documents; step = epoch
  kBpttLength = 3,         // window lengths; step = epoch, index = window, stream = which draw
  kEmbeddingDropout = 4,   // index = word id
  kInputDropout = 5,       // stream = global stream
  kHiddenDropout = 6,      // stream = global stream, + layer * kLayerStride
  kOutputDropout = 7,      // stream = global stream
  kWeightDropout = 8,      // stream = layer
  kHeadDropout = 9,        // stream = document slot in the global batch, + head layer * kLayerStride
  kBatchOrder = 10,        // order of classifier batches; step = epoch
  kSplit = 11,             // train/validation split
  kVocabularySample = 12,  // words of a sampled softmax; step = training step, index = draw
  kGenerate = 13,          // sampling of text; step = text, index = token
  kBench = 14,             // synthetic data
  kBootstrap = 15,         // resampled texts of an evaluation; step = resample, index = text
  kSubset = 16,            // labelled texts of a study; stream 0: order of texts, 1: of classes
};

struct RandomKey {
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::kInit;
  std::uint64_t step = 0;
  std::uint32_t stream = 0;
};

// Layer l of a mask keyed by stream uses stream + l * kLayerStride: streams are below 2^24, layers below 2^8.
inline constexpr std::uint32_t kLayerStride = 1U << 24;
// Window w of a document, counted from its last, uses step + w * kWindowStride: no run has so many steps. The upper half of
// a step has 16 bits: of a document of more windows, some of the first share their masks.
inline constexpr std::uint64_t kWindowStride = std::uint64_t{1} << 32;

using PhiloxBlock = std::array<std::uint32_t, 4>;

// One block of the generator: ten rounds on counter c with key k.
constexpr PhiloxBlock philox4x32(PhiloxBlock c, std::uint32_t k0, std::uint32_t k1) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ULL * c[0];
    const std::uint64_t p1 = 0xCD9E8D57ULL * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return c;
}

// How a RandomKey becomes Philox words: counter {block, stream, step lo, step hi (16) + purpose (16)}, key = seed.
constexpr PhiloxBlock random_block(const RandomKey& key, std::uint32_t block) noexcept {
  return philox4x32(
      {block, key.stream, static_cast<std::uint32_t>(key.step),
       (static_cast<std::uint32_t>(key.step >> 32) & 0xFFFFU) | (static_cast<std::uint32_t>(key.purpose) << 16)},
      static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32));
}

// The 32-bit word at `index` (word index % 4 of block index / 4; index below 2^34).
constexpr std::uint32_t random_word(const RandomKey& key, std::uint64_t index) noexcept {
  return random_block(key, static_cast<std::uint32_t>(index / 4))[index % 4];
}

// Uniform in [0, 1) with 32 bits, and in [0, n) without bias above 2^-32 * n.
constexpr double random_uniform(const RandomKey& key, std::uint64_t index) noexcept {
  return random_word(key, index) * (1.0 / 4294967296.0);
}
constexpr std::uint64_t random_below(const RandomKey& key, std::uint64_t index, std::uint64_t n) noexcept {
  const PhiloxBlock b = random_block(key, static_cast<std::uint32_t>(index));
  const std::uint64_t wide = (static_cast<std::uint64_t>(b[0]) << 32) | b[1];
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(wide) * n) >> 64);
}

// Standard normal draw (Box-Muller on block `index`).
double random_normal(const RandomKey& key, std::uint64_t index);

// A word keeps its element when it is below this: P(keep) = 1 - drop to 2^-32. drop in [0, 1).
std::uint64_t keep_threshold(double drop);

// out[i] = 1 / (1 - drop) where element i is kept, else 0, for i in [0, n): an inverted-dropout mask.
void fill_dropout_mask(const RandomKey& key, double drop, float* out, std::size_t n);

// A permutation of 0 .. n-1 (Fisher-Yates).
std::vector<std::uint32_t> random_permutation(const RandomKey& key, std::uint32_t n);

}  // namespace ulmfit
