// oneDNN's block kernels of matrix products, at::native::cpublas::brgemm: on AVX-512 machines that are not Intel's they are
// twice as fast as the products of MKL that at::mm takes, and they do one tile of a product where its result is used next.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace ulmfit::model {

// True if this machine and this torch have the kernels for factors of that type (float32 or bfloat16).
bool has_block_kernels(at::ScalarType type);

// Runs body(first, count) over `rows` in powers of two, 64 at most: one kernel is compiled for each number of rows, and the
// columns of a classifier's windows have every number there is.
template <class Body>
void for_row_blocks(std::int64_t rows, const Body& body) {
  std::int64_t count = 64;
  for (std::int64_t first = 0; first < rows; first += count) {
    while (count > rows - first) count /= 2;
    body(first, count);
  }
}

}  // namespace ulmfit::model
