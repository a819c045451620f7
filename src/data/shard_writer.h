// Writes one split of a corpus as numbered shards. One of the two files that include HDF5 (the other is shard_reader.cpp).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/shard_format.h"
#include "data/share.h"

namespace ulmfit::data {

class ShardWriter {
 public:
  // `header` gives vocabulary and text fingerprints; its counts are ignored. Throws FileError when there is no such folder.
  // A shard is closed with the document that reaches `shard_tokens`, so cuts depend on tokens alone. Holds the open shard's
  // ids in their stored type: up to 256 MB for 2^27 tokens (512 MB for a vocabulary of more than 65,536 words).
  // With a `share`, several writers see the same documents in the same order, and each writes its shards of them.
  ShardWriter(std::filesystem::path folder, std::string split, ShardHeader header, std::int64_t shard_tokens = kShardTokens,
              Share share = {});
  ~ShardWriter();  // an unfinished shard is dropped
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  // Appends a document of at least one token. Ids must be in [0, vocabulary size) (DataError). A `label` of 0 or more is
  // required if and only if the header says labelled. Throws FileError when a shard that is full cannot be written.
  void add(std::span<const std::int32_t> tokens, std::int32_t label = -1);

  // Whether the next document lies in a shard of this writer's share: then it is to be added, else passed over.
  bool writes_next() const;
  void pass_over(std::size_t tokens);  // the number of tokens of that document

  // Closes the last shard (temporary name, closed, synced, renamed). Returns the file names written, in order: none when
  // no document was added.
  std::vector<std::string> finish();

  std::int64_t token_count() const;  // of all documents, also those passed over
  std::int64_t document_count() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ulmfit::data
