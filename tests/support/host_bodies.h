// The kernels' bodies as C++ of the host.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace ulmfit::test {
void wait_for_block();  // host_kernels.cpp: of the threads of a block
}

#define ULMFIT_DEVICE
#define ULMFIT_BARRIER() ::ulmfit::test::wait_for_block()
#define ULMFIT_BITS(x) std::bit_cast<std::uint32_t>(x)
#define ULMFIT_FLOAT(x) std::bit_cast<float>(x)

// In this order.
// clang-format off
#include "kernels/bodies/types.h"
#include "kernels/bodies/common.h"
#include "kernels/bodies/masks.h"
#include "kernels/bodies/softmax.h"
// clang-format on
