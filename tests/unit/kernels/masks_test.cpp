#include "kernels/masks.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/host_kernels.h"
#include "tests/support/model_checks.h"

namespace ulmfit::kernels {
namespace {

using test::closed_form;
using test::mask_of_host;
using test::same_bits;

const std::vector<RandomKey> kKeys = {
    {1, Purpose::kWeightDropout, 0, 0},
    {0xFFFFFFFFFFFFFFFF, Purpose::kHiddenDropout, 0xFFFFFFFFFFFF, 0xFFFFFFFF},
    {0x80000000ULL << 32, Purpose::kInputDropout, 5 + 3 * kWindowStride, 2 * kLayerStride + 77},
};

TEST(MaskedCopy, MultipliesByTheMaskOfTheHost) {
  test::HostLauncher launcher;
  for (const RandomKey& key : kKeys) {
    for (const double drop : {0.0, 0.02, 0.5, 0.9}) {
      for (const std::int64_t n : {1, 3, 4, 1153, 40'001}) {
        const at::Tensor from = closed_form(1, {n}, 1), mask = mask_of_host(key, drop, n);
        const at::Tensor exact = at::empty({n}, at::kFloat), rounded = at::empty({n}, at::kBFloat16);
        masked_copy(launcher, key, drop, from, exact);
        EXPECT_TRUE(same_bits(exact, from * mask)) << drop << " " << n;
        masked_copy(launcher, key, drop, from, rounded);
        EXPECT_TRUE(same_bits(rounded, (from * mask).to(at::kBFloat16))) << drop << " " << n;
        masked_copy(launcher, key, drop, rounded, exact);
        EXPECT_TRUE(same_bits(exact, rounded.to(at::kFloat) * mask)) << drop << " " << n;
      }
    }
  }
}

TEST(MaskedCopy, RoundsAsLibtorchDoes) {
  test::HostLauncher launcher;
  const at::Tensor from = at::tensor(
      {0.0F, -0.0F, 1.00390625F, 1.01171875F, -1.00390625F, 3.4e38F, INFINITY, -INFINITY, 1e-40F, -1e-45F, 0.1F});
  const at::Tensor to = at::empty({from.numel()}, at::kBFloat16);
  masked_copy(launcher, kKeys[0], 0, from, to);
  EXPECT_TRUE(same_bits(to.view(at::kShort), from.to(at::kBFloat16).view(at::kShort))) << to << from.to(at::kBFloat16);
  const at::Tensor none = at::empty({1}, at::kBFloat16);
  masked_copy(launcher, kKeys[0], 0, at::tensor({NAN}), none);
  EXPECT_TRUE(std::isnan(none.item<float>()));
}

TEST(MaskedCopy, RefusesWhatNoKernelIsFor) {
  test::HostLauncher launcher;
  const at::Tensor a = at::zeros({4, 4});
  EXPECT_THROW(masked_copy(launcher, kKeys[0], 0.1, a, at::empty({15})), c10::Error);
  EXPECT_THROW(masked_copy(launcher, kKeys[0], 0.1, a, at::empty({4, 4}).t()), c10::Error);
  EXPECT_THROW(masked_copy(launcher, kKeys[0], 0.1, a.to(at::kDouble), at::empty({4, 4})), c10::Error);
  EXPECT_NO_THROW(masked_copy(launcher, kKeys[0], 0.1, at::empty({0}), at::empty({0})));
}

TEST(LockedMasks, AreThoseOfTheirStreams) {
  test::HostLauncher launcher;
  const at::Tensor streams = at::tensor({7, 0, 123'456}, at::kLong);
  for (const std::int64_t width : {1, 6, 300}) {
    RandomKey key{3, Purpose::kHiddenDropout, (1ULL << 33) + 1, 2 * kLayerStride};
    const at::Tensor masks = locked_masks(launcher, key, 0.3, streams, width);
    for (std::int64_t row = 0; row < 3; ++row) {
      key.stream = 2 * kLayerStride + static_cast<std::uint32_t>(streams[row].item<std::int64_t>());
      EXPECT_TRUE(same_bits(masks[row], mask_of_host(key, 0.3, width))) << width << " " << row;
    }
  }
}

TEST(MaskAt, PicksElementsOfTheMask) {
  test::HostLauncher launcher;
  const at::Tensor places = at::arange(1000, at::kLong).mul_(7).remainder_(1000).reshape({20, 50});
  EXPECT_TRUE(same_bits(mask_at(launcher, kKeys[1], 0.3, places), mask_of_host(kKeys[1], 0.3, 1000).index({places})));
  const std::int64_t far = (std::int64_t{1} << 34) - 1;
  const float kept = random_word(kKeys[0], static_cast<std::uint64_t>(far)) < keep_threshold(0.5) ? 2.0F : 0.0F;
  EXPECT_EQ(mask_at(launcher, kKeys[0], 0.5, at::tensor({far}, at::kLong)).item<float>(), kept);
}

}  // namespace
}  // namespace ulmfit::kernels
