#include "base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace ulmfit {
namespace {

// Known answers from the Random123 distribution (kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, 0, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(DropoutMask, EveryElementIsTheDrawOfItsIndex) {
  const RandomKey key{42, Purpose::kHiddenDropout, (7ULL << 32) + 5, 3};
  const std::size_t n = 1003;  // past the vector part and not a multiple of a block
  std::vector<float> mask(n);
  fill_dropout_mask(key, 0.3, mask.data(), n);
  for (std::size_t i = 0; i < n; ++i) {
    const bool keep = random_word(key, i) < keep_threshold(0.3);
    EXPECT_EQ(mask[i], keep ? static_cast<float>(1 / 0.7) : 0.0F) << i;
  }
}

TEST(DropoutMask, KeepsTheRightShareAndNothingIsDroppedAtZero) {
  std::vector<float> mask(100000);
  fill_dropout_mask({1, Purpose::kInputDropout, 0, 0}, 0.4, mask.data(), mask.size());
  const auto kept = std::count_if(mask.begin(), mask.end(), [](float m) { return m != 0; });
  EXPECT_NEAR(static_cast<double>(kept), 60000.0, 4 * std::sqrt(100000 * 0.24));
  fill_dropout_mask({1, Purpose::kInputDropout, 0, 0}, 0.0, mask.data(), mask.size());
  EXPECT_TRUE(std::all_of(mask.begin(), mask.end(), [](float m) { return m == 1.0F; }));
}

TEST(RandomKey, EveryFieldChangesTheDraw) {
  const RandomKey key{1, Purpose::kInit, 2, 3};
  for (const RandomKey& other :
       {RandomKey{9, Purpose::kInit, 2, 3}, RandomKey{1, Purpose::kBench, 2, 3}, RandomKey{1, Purpose::kInit, 9, 3},
        RandomKey{1, Purpose::kInit, 2, 9}, RandomKey{1ULL << 40, Purpose::kInit, 2, 3},
        RandomKey{1, Purpose::kInit, 1ULL << 40, 3}}) {
    EXPECT_NE(random_block(key, 0), random_block(other, 0));
  }
}

TEST(Permutation, IsOneAndIsUniform) {
  auto order = random_permutation({5, Purpose::kDocumentOrder, 1, 0}, 1000);
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (std::uint32_t i = 0; i < 1000; ++i) EXPECT_EQ(sorted[i], i);
  std::vector<int> first(4);
  for (std::uint64_t e = 0; e < 4000; ++e) ++first[random_permutation({5, Purpose::kDocumentOrder, e, 0}, 4)[0]];
  for (int count : first) EXPECT_NEAR(count, 1000, 4 * std::sqrt(4000 * 0.1875));
}

TEST(Normal, HasMeanZeroAndVarianceOne) {
  double sum = 0;
  double squares = 0;
  const int n = 20000;
  for (int i = 0; i < n; ++i) {
    const double x = random_normal({3, Purpose::kBpttLength, 0, 0}, static_cast<std::uint64_t>(i));
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / n, 0, 4 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 4 * std::sqrt(2.0 / n));
}

}  // namespace
}  // namespace ulmfit
