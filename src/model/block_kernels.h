// oneDNN's block kernels of matrix products, at::native::cpublas::brgemm: on AVX-512 machines that are not Intel's they are
// twice as fast as the products of MKL that at::mm takes, and they do one tile of a product where its result is used next.
#pragma once

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <cstdint>

namespace ulmfit::model {

// True if this machine and this torch have the kernels for factors of that type (float32 or bfloat16).
bool has_block_kernels(at::ScalarType type);

// Rows that the kernels take in one piece for factors of that type: 6 of AVX-512, whose registers hold that many sums of 64
// columns (fewer rows take as long as 6), any number of AMX.
std::int64_t rows_in_registers(at::ScalarType type);

// Runs body(first, count) over `rows`, at most 64 at once. One kernel is compiled for each count, and the columns of a
// classifier's windows have every number there is: so counts are `unit` times powers of two, and the rest.
template <class Body>
void for_row_blocks(std::int64_t rows, std::int64_t unit, const Body& body) {
  std::int64_t count = unit;
  while (2 * count <= 64) count *= 2;
  for (std::int64_t first = 0; first < rows; first += count) {
    while (count > unit && count > rows - first) count /= 2;
    count = std::min(count, rows - first);
    body(first, count);
  }
}

}  // namespace ulmfit::model
