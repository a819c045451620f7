#include "model/tensor_random.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/support/model_checks.h"

namespace ulmfit::model {
namespace {

using test::mask_of_host;
using test::same_bits;

// Keys whose words have their highest bits set: what a sign could spoil.
const std::vector<RandomKey> kKeys = {
    {1, Purpose::kWeightDropout, 0, 0},
    {0xFFFFFFFFFFFFFFFF, Purpose::kHiddenDropout, 0xFFFFFFFFFFFF, 0xFFFFFFFF},
    {0x80000000ULL << 32, Purpose::kInputDropout, 5 + 3 * kWindowStride, 2 * kLayerStride + 77},
    {42, Purpose::kOutputDropout, (1ULL << 40) + 7, 0xFFFFFF},
};

TEST(DropoutMask, IsThatOfTheHost) {
  for (const RandomKey& key : kKeys) {
    for (const double drop : {0.0, 0.02, 0.5, 0.9}) {
      for (const std::int64_t n : {1, 3, 4, 64, 1153}) {
        EXPECT_TRUE(same_bits(dropout_mask(key, drop, n, at::kCPU), mask_of_host(key, drop, n)))
            << key.seed << " " << drop << " " << n;
      }
    }
  }
}

TEST(DropoutMask, OfALargeMatrixIsThatOfTheHost) {
  const std::int64_t words = 1'500'001;
  EXPECT_TRUE(same_bits(dropout_mask(kKeys[1], 0.2, words, at::kCPU), mask_of_host(kKeys[1], 0.2, words)));
}

TEST(DropoutMaskAt, PicksElementsOfTheMask) {
  for (const RandomKey& key : kKeys) {
    const at::Tensor mask = mask_of_host(key, 0.3, 1000);
    const at::Tensor places = at::arange(1000, at::kLong).mul_(7).remainder_(1000).reshape({20, 50});
    EXPECT_TRUE(same_bits(dropout_mask_at(key, places, 0.3), mask.index({places})));
  }
  const std::int64_t far = (std::int64_t{1} << 34) - 1;
  const float kept = random_word(kKeys[0], static_cast<std::uint64_t>(far)) < keep_threshold(0.5) ? 2.0F : 0.0F;
  EXPECT_EQ(dropout_mask_at(kKeys[0], at::tensor({far}, at::kLong), 0.5).item<float>(), kept);
}

}  // namespace
}  // namespace ulmfit::model
