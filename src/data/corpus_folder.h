// A folder of prepared text: shards by split, vocab.txt, text.json, for labelled sets labels.txt (and label_sets.txt, where
// texts have several labels), and corpus.json (format, counts, fingerprints, provenance), with MANIFEST.json
// (base/manifest.h) written last. A folder without a valid manifest does not exist for a reader. data_prep/FORMAT.md is the
// specification.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/label_sets.h"
#include "data/shard_reader.h"

namespace ulmfit::data {

struct SplitInfo {
  std::int64_t tokens = 0;
  std::int64_t documents = 0;
  std::string fingerprint;  // ShardSet::fingerprint()
};

struct CorpusInfo {
  std::string kind;                         // "lm", "labelled" (one label a text) or "multilabel" (several)
  std::string vocabulary_fingerprint;       // text::Vocabulary::fingerprint()
  std::string text_fingerprint;             // text::TextPipeline::fingerprint()
  std::map<std::string, SplitInfo> splits;  // by name: "train", "valid", "test"
  std::vector<std::string> labels;          // class names in id order; of kind "lm" none
  LabelSets label_sets;  // of kind "multilabel": what the labels in the shards stand for; else these are classes

  bool has_labels() const { return kind != "lm"; }
  bool multilabel() const { return kind == "multilabel"; }
};

// What corpus.json says of a split that has just been written.
SplitInfo split_info(const ShardSet& shards);

// Writes corpus.json and, where there are labels, labels.txt (a class name a line) and label_sets.txt (data/label_sets.h),
// each atomically. `provenance` is a free JSON object (sources, options, versions); lists of files in it go to inputs.json
// (data/file_lists.h). The caller writes shards, vocab.txt and text.json before, and the manifest (ulmfit::write_manifest)
// after. Throws DataError for a kind, a label or a split that open_corpus would refuse.
void write_corpus_info(const std::filesystem::path& folder, const CorpusInfo& info, const nlohmann::json& provenance);

// Opens and checks a folder made by prepare-corpus or prepare-labelled: manifest (sizes, not checksums: ShardSet checks
// blocks as it reads them), corpus.json, the vocabulary's fingerprint. Throws DataError with what to do.
CorpusInfo open_corpus(const std::filesystem::path& folder);

// The free object given to write_corpus_info, its lists of files summarized. Throws DataError.
nlohmann::json corpus_provenance(const std::filesystem::path& folder);
// These lists, [{"name", "bytes", "xxh3"}, ...], by their JSON pointers. Throws DataError.
nlohmann::json corpus_file_lists(const std::filesystem::path& folder);

// What prepare-labelled found that makes a figure measured on the folder doubtful, a sentence each. Throws DataError.
std::vector<std::string> doubts_of(const std::filesystem::path& folder);

// The file that tells where each document of a labelled split came from, "FILE:LINE" a line; folders made before there was
// one lack it.
std::filesystem::path places_file(const std::filesystem::path& folder, const std::string& split);

// Opens a split and checks it against corpus.json (counts, vocabulary, text rules, fingerprint). Throws DataError, also
// when the corpus has no such split.
ShardSet open_split(const std::filesystem::path& folder, const CorpusInfo& info, const std::string& split);

}  // namespace ulmfit::data
