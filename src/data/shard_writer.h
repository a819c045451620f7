// Writes one split of a corpus as numbered shards. One of the two files that include HDF5 (the other is shard_reader.cpp).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/shard_format.h"

namespace ulmfit::data {

class ShardWriter {
 public:
  // `header` gives vocabulary and text fingerprints; its counts are ignored. Throws FileError when the folder cannot be written.
  // Shard cuts fall at the first document end past `shard_tokens`, so they depend on tokens alone.
  ShardWriter(std::filesystem::path folder, std::string split, ShardHeader header, std::int64_t shard_tokens = kShardTokens);
  ~ShardWriter();  // removes the temporary file of an unfinished shard
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  // Appends a document. Ids must be in [0, vocabulary size) (DataError). `label` is required if and only if the header says labelled.
  void add(std::span<const std::int32_t> tokens, std::int32_t label = -1);

  // Closes the last shard (temporary name, closed, synced, renamed). Returns the file names written, in order.
  std::vector<std::string> finish();

  std::int64_t token_count() const;
  std::int64_t document_count() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ulmfit::data
