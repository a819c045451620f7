// The tokens of one shard, whose blocks are verified (checksum, ids below the vocabulary's size) at their first touch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "data/random_access_file.h"

namespace ulmfit::data {

class TokenBlocks {
 public:
  // `count` ids of token_bytes(vocabulary_size) bytes each lie at `offset` of the file, within its size; one checksum a
  // block of kBlockTokens.
  TokenBlocks(RandomAccessFile file, std::uint64_t offset, std::int64_t count, std::int64_t vocabulary_size,
              std::vector<std::uint64_t> checksums);

  std::int64_t count() const { return count_; }

  // Copies tokens [first, first + out.size()). Throws DataError naming file and block. Not thread-safe.
  void read(std::int64_t first, std::span<std::int32_t> out);

  void verify();  // every block, also those verified before

 private:
  void verify_block(std::int64_t block);
  void load(std::int64_t first, std::int64_t count);  // into buffer_, as stored

  RandomAccessFile file_;
  std::uint64_t offset_;
  std::int64_t count_;
  std::int64_t vocabulary_size_;
  std::size_t width_;  // bytes an id
  std::vector<std::uint64_t> checksums_;
  std::vector<bool> verified_;
  std::vector<std::byte> buffer_;
};

}  // namespace ulmfit::data
