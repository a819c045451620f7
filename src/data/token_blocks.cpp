#include "data/token_blocks.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "data/shard_format.h"

namespace ulmfit::data {
namespace {

template <class Id>
void widen(const std::byte* from, std::span<std::int32_t> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Id id;
    std::memcpy(&id, from + i * sizeof(Id), sizeof(Id));
    out[i] = static_cast<std::int32_t>(id);
  }
}

template <class Id>
std::int64_t largest(const std::vector<std::byte>& ids) {
  Id most = 0;
  for (std::size_t at = 0; at < ids.size(); at += sizeof(Id)) {
    Id id;
    std::memcpy(&id, ids.data() + at, sizeof(Id));
    most = std::max(most, id);
  }
  return most;
}

}  // namespace

TokenBlocks::TokenBlocks(RandomAccessFile file, std::uint64_t offset, std::int64_t count, std::int64_t vocabulary_size,
                         std::vector<std::uint64_t> checksums)
    : file_(std::move(file)),
      offset_(offset),
      count_(count),
      vocabulary_size_(vocabulary_size),
      width_(token_bytes(vocabulary_size)),
      checksums_(std::move(checksums)),
      verified_(checksums_.size(), false) {}

void TokenBlocks::load(std::int64_t first, std::int64_t count) {
  buffer_.resize(static_cast<std::size_t>(count) * width_);
  file_.read(offset_ + static_cast<std::uint64_t>(first) * width_, buffer_.data(), buffer_.size());
}

void TokenBlocks::verify_block(std::int64_t block) {
  const std::int64_t first = block * kBlockTokens;
  load(first, std::min(kBlockTokens, count_ - first));
  const auto index = static_cast<std::size_t>(block);
  if (hash64(buffer_.data(), buffer_.size()) != checksums_[index]) {
    throw DataError(str(file_.path().string(), ": the checksum of block ", block, " (tokens from ", first,
                        ") does not match: the file is damaged; copy or prepare it again"));
  }
  const std::int64_t most = width_ == 2 ? largest<std::uint16_t>(buffer_) : largest<std::uint32_t>(buffer_);
  if (most >= vocabulary_size_) {
    throw DataError(str(file_.path().string(), ": block ", block, " holds token id ", most, ", not below the vocabulary's ",
                        vocabulary_size_));
  }
  verified_[index] = true;
}

void TokenBlocks::read(std::int64_t first, std::span<std::int32_t> out) {
  while (!out.empty()) {  // in parts that end with a block, so that the buffer stays small
    const std::int64_t block = first / kBlockTokens;
    const auto part = out.first(std::min(out.size(), static_cast<std::size_t>((block + 1) * kBlockTokens - first)));
    if (!verified_[static_cast<std::size_t>(block)]) verify_block(block);
    load(first, static_cast<std::int64_t>(part.size()));
    width_ == 2 ? widen<std::uint16_t>(buffer_.data(), part) : widen<std::uint32_t>(buffer_.data(), part);
    first += static_cast<std::int64_t>(part.size());
    out = out.subspan(part.size());
  }
}

void TokenBlocks::verify() {
  for (std::size_t block = 0; block < checksums_.size(); ++block) verify_block(static_cast<std::int64_t>(block));
}

}  // namespace ulmfit::data
