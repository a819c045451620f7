// Shards written by hand through HDF5, with one thing wrong: what the reader must refuse.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace ulmfit::test {

enum class Defect {
  kNone,
  // of a dataset
  kMissing,
  kBigEndian,
  kOtherWidth,
  kFloat,
  kRankTwo,
  kExtensible,  // may grow: chunked
  kCompact,
  kCompressed,
  kExternalStorage,  // the bytes lie in a plain file beside the shard
  kVirtual,          // the elements are those of another file's dataset
  kSoftLink,
  kExternalLink,
  kGroup,        // a group under the dataset's name
  kUnallocated,  // no place in the file
  // of an attribute
  kAttributeMissing,
  kAttributeArray,
  kAttributeNarrow,        // int32 instead of int64
  kAttributeVariableText,  // text of variable length
  kAttributeLongText,      // 10,000 bytes
  // of the file
  kExtraDataset,
  kOldSuperblock,
};

// The defaults are a valid shard of 3 documents; `defect` strikes the dataset or attribute `where`.
struct HandMadeShard {
  std::vector<std::uint16_t> tokens = {2, 5, 6, 2, 7, 2, 8, 9};
  std::vector<std::uint64_t> starts = {0, 3, 5};
  std::optional<std::vector<std::uint64_t>> checksums;  // else the right ones
  std::optional<std::vector<std::int32_t>> labels;      // else no such dataset
  std::string format = "ulmfit-shard";
  std::int64_t version = 1;
  std::optional<std::int64_t> token_count;
  std::optional<std::int64_t> document_count;
  std::int64_t vocabulary_size = 100;
  std::string vocabulary_fingerprint = "vocabulary";
  std::string text_fingerprint = "text";
  std::int64_t checksum_block_tokens = 1 << 20;
  std::optional<std::string> index_fingerprint;  // else the right one
  Defect defect = Defect::kNone;
  std::string where = "tokens";

  void write(const std::filesystem::path& path) const;
};

}  // namespace ulmfit::test
