// Reads the shards of one split as one long sequence of tokens and documents. Files are validated before they are trusted:
// type, rank, layout, extents against the file size; links, external storage, virtual datasets and filters are refused.
// The tokens are then read with pread at the dataset's offset; block checksums are verified at a block's first touch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/shard_format.h"

namespace ulmfit::data {

class ShardSet {
 public:
  // Opens FOLDER/SPLIT-*.h5 in number order. Throws DataError naming file and defect: none found, a gap in the numbers,
  // shards that disagree about vocabulary or text rules, or anything that shard_format.h does not allow. HDF5 is used here
  // only, and is not thread-safe: open sets on one thread at a time.
  ShardSet(const std::filesystem::path& folder, const std::string& split);
  ~ShardSet();
  ShardSet(ShardSet&&) noexcept;
  ShardSet& operator=(ShardSet&&) noexcept;

  static bool exists(const std::filesystem::path& folder, const std::string& split);

  std::int64_t token_count() const;
  std::int64_t document_count() const;
  const ShardHeader& header() const;  // of the whole set: counts are sums

  // Where document d starts in the sequence; document_start(document_count()) is token_count().
  std::int64_t document_start(std::int64_t document) const;
  std::span<const std::int64_t> document_starts() const;  // document_count() + 1 entries

  std::int32_t label(std::int64_t document) const;  // labelled sets only
  std::span<const std::int32_t> labels() const;     // of all documents; the same

  // Copies tokens [first, first + out.size()) of the sequence. Not thread-safe: one reader thread a set.
  // Throws DataError naming shard and block when a checksum does not match.
  void read(std::int64_t first, std::span<std::int32_t> out) const;

  void verify() const;              // every block of every shard
  std::string fingerprint() const;  // of counts and block checksums: the data's identity, cheap

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ulmfit::data
