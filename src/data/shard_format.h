// Names and limits of the shard format, shared by writer and reader. data_prep/FORMAT.md is its specification.
// A shard is one HDF5 file: `tokens` (contiguous, unfiltered, uint16 while the vocabulary has at most 65,536 words, else
// uint32, little-endian), `document_starts` (uint64, first token of each document, the first is 0), `block_checksums`
// (uint64, XXH3 of each block of kBlockTokens tokens as stored), for labelled sets `labels` (int32, one a document), and
// attributes. The bytes depend on the content alone: no times, fixed library-version bounds.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ulmfit::data {

static_assert(std::endian::native == std::endian::little, "shards are read and written as they lie in memory");

inline constexpr std::int64_t kShardVersion = 1;
inline constexpr std::int64_t kBlockTokens = 1 << 20;
inline constexpr std::int64_t kShardTokens = 1 << 27;  // a shard is closed with the document that reaches this
inline constexpr std::string_view kShardFormatName = "ulmfit-shard";

// Datasets.
inline constexpr const char* kTokens = "tokens";
inline constexpr const char* kDocumentStarts = "document_starts";
inline constexpr const char* kBlockChecksums = "block_checksums";
inline constexpr const char* kLabels = "labels";

// Attributes of the root group.
inline constexpr const char* kFormat = "format";
inline constexpr const char* kVersion = "version";
inline constexpr const char* kTokenCount = "token_count";
inline constexpr const char* kDocumentCount = "document_count";
inline constexpr const char* kVocabularySize = "vocabulary_size";
inline constexpr const char* kVocabularyFingerprint = "vocabulary_fingerprint";
inline constexpr const char* kTextFingerprint = "text_fingerprint";
inline constexpr const char* kChecksumBlock = "checksum_block_tokens";
inline constexpr const char* kIndexFingerprint = "index_fingerprint";  // of the bytes of all datasets but `tokens`
inline constexpr std::size_t kMaxAttributeBytes = 128;                 // of a text

struct ShardHeader {
  std::int64_t version = kShardVersion;
  std::int64_t token_count = 0;
  std::int64_t document_count = 0;
  std::int64_t vocabulary_size = 0;
  std::string vocabulary_fingerprint;
  std::string text_fingerprint;  // TextPipeline::fingerprint()
  bool labelled = false;
};

// Bytes of a stored token id: 2 while every id fits, else 4.
constexpr std::size_t token_bytes(std::int64_t vocabulary_size) { return vocabulary_size <= 65536 ? 2 : 4; }

// "train-00000.h5": split and number.
std::string shard_file_name(std::string_view split, std::int64_t number);

// The number in a name that shard_file_name made for this split, else nothing.
std::optional<std::int64_t> shard_file_number(std::string_view split, std::string_view file_name);

// What the attribute index_fingerprint holds: XXH3-128 over the bytes of the three arrays one after the other.
std::string index_fingerprint(std::span<const std::uint64_t> document_starts,
                              std::span<const std::uint64_t> block_checksums, std::span<const std::int32_t> labels);

}  // namespace ulmfit::data
