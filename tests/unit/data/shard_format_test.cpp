#include "data/shard_format.h"

#include <gtest/gtest.h>

#include "base/hash.h"

namespace ulmfit::data {
namespace {

TEST(ShardFormat, NamesHaveFiveDigitsAtLeast) {
  EXPECT_EQ(shard_file_name("train", 0), "train-00000.h5");
  EXPECT_EQ(shard_file_name("valid", 123), "valid-00123.h5");
  EXPECT_EQ(shard_file_name("train", 1234567), "train-1234567.h5");
}

TEST(ShardFormat, NumberUndoesName) {
  for (const std::int64_t number : {0, 7, 99999, 100000, 1234567}) {
    EXPECT_EQ(shard_file_number("train", shard_file_name("train", number)), number);
  }
}

TEST(ShardFormat, OtherNamesHaveNoNumber) {
  for (const char* name :
       {"", "train", "train-", "train-.h5", "train-0.h5", "train-000000.h5", "train--0001.h5", "valid-00000.h5",
        "train-00000.h5.tmp", "train-more-00000.h5", "train_00000.h5", "train-99999999999999999999.h5"}) {
    EXPECT_FALSE(shard_file_number("train", name).has_value()) << name;
  }
}

TEST(ShardFormat, TwoBytesWhileEveryIdFits) {
  EXPECT_EQ(token_bytes(1), 2U);
  EXPECT_EQ(token_bytes(65536), 2U);
  EXPECT_EQ(token_bytes(65537), 4U);
}

TEST(ShardFormat, IndexFingerprintIsTheHashOfTheBytesInOrder) {
  const std::vector<std::uint64_t> starts = {0, 0x0102};
  const std::vector<std::uint64_t> checksums = {0xff};
  const std::vector<std::int32_t> labels = {1, 2};
  const std::string bytes("\0\0\0\0\0\0\0\0\2\1\0\0\0\0\0\0\xff\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0", 32);
  EXPECT_EQ(index_fingerprint(starts, checksums, labels), fingerprint(bytes));
}

}  // namespace
}  // namespace ulmfit::data
