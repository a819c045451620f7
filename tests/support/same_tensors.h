// Named tensors compared bit for bit.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "interop/safetensors.h"
#include "tests/support/model_checks.h"

namespace ulmfit::test {

// The same tensors, and none with a value that is not finite.
inline void expect_same(const interop::NamedTensors& found, const interop::NamedTensors& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(same_bits(found[i].second, expected[i].second)) << found[i].first;
    EXPECT_TRUE(at::isfinite(found[i].second).all().item<bool>()) << found[i].first;
  }
}

}  // namespace ulmfit::test
