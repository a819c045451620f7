// Raw text to an LM corpus: vocabulary, shards of the splits "train" and "valid", and what is needed to read them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/shard_format.h"
#include "data_prep/corpus_builder.h"
#include "data_prep/corpus_reader.h"
#include "data_prep/team.h"
#include "text/text_pipeline.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace ulmfit::data_prep {

struct PrepareCorpusOptions {
  std::vector<std::filesystem::path> inputs;        // files and folders
  std::vector<std::filesystem::path> valid_inputs;  // validation text; none: documents are held out
  std::filesystem::path output;
  CorpusFormat format = CorpusFormat::kLines;
  std::vector<std::string> text_columns{"text"};  // csv, tsv, jsonl
  TableOptions table;                             // its max_line_bytes: a longer line is refused, whatever the format
  text::TextOptions text;
  text::VocabularyOptions vocabulary;
  KnownVocabulary known;      // none: all words are those of the training text
  double valid_share = 0.01;  // of the documents, drawn; 0: no validation split
  std::uint64_t seed = 0;     // of that draw
  std::string license;        // of the text: for lineage and card
  std::int64_t shard_tokens = data::kShardTokens;
  int threads = 0;  // 0: one a core; the bytes written do not depend on it
};

struct PreparedCorpus {
  bool already_prepared = false;  // by an earlier run from the same text and options; the rest is then empty
  std::map<std::string, SplitSummary> splits;
  std::int64_t vocabulary_size = 0;
  text::CleanCounts cleaned;
  std::uint64_t text_bytes = 0;
  double seconds = 0;
};

// Makes the folder or leaves nothing. Throws ConfigError for options out of range, DataError for text that cannot be read,
// an empty corpus, one too small to hold documents out of, and an output folder with other content; FileError when it
// cannot write.
//
// The ranks of a team share the work: every rank reads all text, tokenizes its share of it, and writes its share of the
// shards; the bytes do not depend on their number. Inputs and output folder are at the same paths for all. Collective; the
// result is rank 0's.
PreparedCorpus prepare_corpus(const PrepareCorpusOptions& options, Team& team);
PreparedCorpus prepare_corpus(const PrepareCorpusOptions& options);  // alone

}  // namespace ulmfit::data_prep
