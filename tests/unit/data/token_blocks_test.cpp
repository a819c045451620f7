#include "data/token_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/shard_format.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The ids behind eight bytes of something else, with the right checksum of their one block.
template <class Id>
TokenBlocks blocks_of(const test::TempDir& dir, const std::vector<Id>& ids, std::int64_t vocabulary_size) {
  const std::string_view bytes(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(Id));
  write_file_atomic(dir / "tokens", "8 bytes." + std::string(bytes));
  return {RandomAccessFile(dir / "tokens"),
          8,
          static_cast<std::int64_t>(ids.size()),
          vocabulary_size,
          {hash64(bytes.data(), bytes.size())}};
}

TEST(TokenBlocks, WidensBothTypes) {
  test::TempDir dir;
  std::vector<std::int32_t> out(3);
  blocks_of<std::uint16_t>(dir, {1, 2, 65535, 4}, 65536).read(1, out);
  EXPECT_THAT(out, ElementsAre(2, 65535, 4));
  blocks_of<std::uint32_t>(dir, {1, 2, 2147483647, 4}, std::int64_t{1} << 31).read(1, out);
  EXPECT_THAT(out, ElementsAre(2, 2147483647, 4));
}

TEST(TokenBlocks, RefusesIdsOutsideTheVocabulary) {
  test::TempDir dir;
  const auto refused = [](TokenBlocks blocks) {
    std::vector<std::int32_t> one(1);
    try {
      blocks.read(0, one);
    } catch (const DataError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refused(blocks_of<std::uint16_t>(dir, {1, 99}, 100)), "accepted");
  EXPECT_THAT(refused(blocks_of<std::uint16_t>(dir, {1, 100}, 100)),
              HasSubstr("token id 100, not below the vocabulary's 100"));
  EXPECT_THAT(refused(blocks_of<std::uint32_t>(dir, {1, 4294967295U}, 70000)), HasSubstr("token id 4294967295"));
}

TEST(TokenBlocks, VerifyLooksAgainAtWhatWasGood) {
  test::TempDir dir;
  TokenBlocks blocks = blocks_of<std::uint16_t>(dir, {1, 2, 3}, 100);
  std::vector<std::int32_t> three(3);
  blocks.read(0, three);
  {
    OutputFile out(dir / "tokens");  // the same file, other content
    out.write("8 bytes.xxxxxx");
  }
  EXPECT_THROW(blocks.verify(), DataError);
}

}  // namespace
}  // namespace ulmfit::data
