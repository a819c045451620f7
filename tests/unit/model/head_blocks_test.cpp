#include "model/head_blocks.h"

#include <gtest/gtest.h>

namespace ulmfit::model {
namespace {

constexpr std::int64_t kMB = 1 << 20;

// Bytes that leave the cache for a row, by the passes that the header counts.
double traffic(const HeadLayer& l, std::int64_t rows, bool fits) {
  const auto words = static_cast<double>(l.vocabulary);
  const double weight = words * static_cast<double>(l.width * (2 * l.number_bytes + 8)) / static_cast<double>(rows);
  return weight + (fits ? 0.0 : 6 * words * static_cast<double>(l.number_bytes));
}

TEST(HeadBlocks, FitTheCacheWhereThatSavesTraffic) {
  const HeadLayer paper{33278, 400, 2};
  EXPECT_EQ(head_block_rows(paper, 50 * kMB), 384);   // an H100: half the cache holds 393 rows
  EXPECT_EQ(head_block_rows(paper, 126 * kMB), 896);  // a B200
  EXPECT_EQ(head_block_rows(paper, 4 * kMB), 3968);   // of 31 rows the weight would be read too often
  const HeadLayer many{267735, 400, 2};
  EXPECT_EQ(head_block_rows(many, 50 * kMB), 384);  // 256 MB hold 501 rows, the cache 48
  const HeadLayer small{1000, 400, 4};
  EXPECT_EQ(head_block_rows(small, 50 * kMB), 6528);
}

TEST(HeadBlocks, AreTheBetterOfBothWays) {
  for (const std::int64_t vocabulary : {500, 8100, 33278, 60000, 267735}) {
    for (const std::int64_t cache : {kMB, 40 * kMB, 50 * kMB, 126 * kMB}) {
      const HeadLayer layer{vocabulary, 400, 2};
      const std::int64_t rows = head_block_rows(layer, cache);
      ASSERT_EQ(rows % 128, 0);
      const bool fits = rows * vocabulary * 2 <= cache / 2;
      for (std::int64_t other = 128; other * vocabulary * 2 <= 256 * kMB; other += 128) {
        const bool other_fits = other * vocabulary * 2 <= cache / 2;
        EXPECT_LE(traffic(layer, rows, fits), traffic(layer, other, other_fits) * (1 + 1e-6)) << vocabulary << ' ' << other;
      }
    }
  }
}

TEST(HeadBlocks, OfAVocabularyBeyondAllBoundsAreOneTile) { EXPECT_EQ(head_block_rows({100'000'000, 400, 4}, kMB), 128); }

}  // namespace
}  // namespace ulmfit::model
