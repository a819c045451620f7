// Names and limits of the shard format, shared by writer and reader. data_prep/FORMAT.md is its specification.
// A shard is one HDF5 file: `tokens` (contiguous, unfiltered, uint16 while the vocabulary has at most 65,536 words, else
// uint32, little-endian), `document_starts` (uint64, first token of each document, the first is 0), `block_checksums`
// (uint64, XXH3 of each block of kBlockTokens tokens as stored), for labelled sets `labels` (int32, one a document), and
// attributes. The bytes depend on the content alone: no times, fixed library-version bounds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ulmfit::data {

inline constexpr std::int64_t kShardVersion = 1;
inline constexpr std::int64_t kBlockTokens = 1 << 20;
inline constexpr std::int64_t kShardTokens = 1 << 27;  // a shard is closed at the first document end past this
inline constexpr std::string_view kShardFormatName = "ulmfit-shard";

struct ShardHeader {
  std::int64_t version = kShardVersion;
  std::int64_t token_count = 0;
  std::int64_t document_count = 0;
  std::int64_t vocabulary_size = 0;
  std::string vocabulary_fingerprint;
  std::string text_fingerprint;  // TextPipeline::fingerprint()
  bool labelled = false;
};

// "train-00000.h5": split and number.
std::string shard_file_name(std::string_view split, std::int64_t number);

}  // namespace ulmfit::data
