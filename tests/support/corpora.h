// Small corpora as shards, for tests of what reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/shard_reader.h"
#include "data/shard_writer.h"

namespace ulmfit::test {

inline data::ShardHeader corpus_header(std::int64_t vocabulary_size, bool labelled = false) {
  data::ShardHeader header;
  header.vocabulary_size = vocabulary_size;
  header.vocabulary_fingerprint = "0123456789abcdef0123456789abcdef";
  header.text_fingerprint = "fedcba9876543210fedcba9876543210";
  header.labelled = labelled;
  return header;
}

// Documents of the given lengths whose tokens are 0, 1, 2, ... through the whole set, so that a token tells its place.
// A small `shard_tokens` spreads them over several shards. Labels, if asked for, are document number % 3.
inline data::ShardSet counting_corpus(const std::filesystem::path& folder, const std::vector<std::int64_t>& lengths,
                                      std::int64_t shard_tokens = data::kShardTokens, bool labelled = false) {
  std::int64_t total = 0;
  for (const std::int64_t length : lengths) total += length;
  data::ShardWriter writer(folder, "train", corpus_header(total, labelled), shard_tokens);
  std::int32_t next = 0;
  for (std::size_t d = 0; d < lengths.size(); ++d) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(lengths[d]));
    for (std::int32_t& token : tokens) token = next++;
    writer.add(tokens, labelled ? static_cast<std::int32_t>(d % 3) : -1);
  }
  writer.finish();
  return data::ShardSet(folder, "train");
}

}  // namespace ulmfit::test
