#include "model/block_kernels.h"

#include <gtest/gtest.h>

#include <set>

namespace ulmfit::model {
namespace {

class RowBlocks : public testing::TestWithParam<std::int64_t> {};

TEST_P(RowBlocks, CoverTheRowsInOrderWithFewCountsAndNoPieceMoreThanNeeded) {
  const std::int64_t unit = GetParam();
  std::set<std::int64_t> counts;
  for (std::int64_t rows = 0; rows <= 200; ++rows) {
    std::int64_t covered = 0, pieces = 0;
    for_row_blocks(rows, unit, [&](std::int64_t first, std::int64_t count) {
      EXPECT_EQ(first, covered);
      ASSERT_GT(count, 0);
      EXPECT_LE(count, 64);
      counts.insert(count);
      covered += count;
      pieces += (count + unit - 1) / unit;
    });
    EXPECT_EQ(covered, rows);
    EXPECT_EQ(pieces, (rows + unit - 1) / unit) << rows << " rows";
  }
  EXPECT_LE(counts.size(), 9U) << "each is a kernel to be compiled";
}

INSTANTIATE_TEST_SUITE_P(Units, RowBlocks, testing::Values(1, 6));

}  // namespace
}  // namespace ulmfit::model
