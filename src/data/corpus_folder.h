// A folder of prepared text: shards by split, vocab.txt, text.json, for labelled sets labels.txt, and corpus.json (format,
// counts, fingerprints, provenance), with MANIFEST.json (name, size, checksum of each file) written last. A folder without a
// valid manifest does not exist for a reader.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ulmfit::data {

// Writes FOLDER/MANIFEST.json over every regular file below FOLDER (but the manifest and .lock), synced, last.
void write_manifest(const std::filesystem::path& folder);

// Checks that every file of the manifest is there with its size, and its checksum if `checksums`. Throws DataError naming the
// file, expected and found.
void check_manifest(const std::filesystem::path& folder, bool checksums);

struct CorpusInfo {
  std::string kind;                   // "lm" or "labelled"
  std::string vocabulary_fingerprint;
  std::string text_fingerprint;
  std::map<std::string, std::string> split_fingerprints;  // ShardSet::fingerprint() by split
  std::vector<std::string> labels;    // class names in id order (labelled)
};

// Opens and checks a folder made by prepare-corpus or prepare-labelled (sizes, not checksums: ShardSet checks blocks as it
// reads them). Throws DataError with what to do.
CorpusInfo open_corpus(const std::filesystem::path& folder);

}  // namespace ulmfit::data
