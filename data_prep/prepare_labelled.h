// Labelled text to two corpora over one vocabulary: OUTPUT/lm to tune the language model on, and OUTPUT/labelled (train,
// valid, test) to train and test the classifier on; OUTPUT/report.json says what was found (labelled_report.h).
// With a label delimiter texts have several labels, or none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/shard_format.h"
#include "data_prep/corpus_reader.h"
#include "data_prep/labelled_reader.h"
#include "data_prep/labelled_report.h"
#include "text/text_pipeline.h"
#include "text/vocabulary.h"

namespace ulmfit::data_prep {

// One of several parts of the training texts (folds_by_label) that is to be tested on; the others are trained on.
struct Fold {
  std::int32_t number = 0;  // from 1
  std::int32_t of = 0;      // 0: no folds
};
// "2/5" is the second of five. Throws ConfigError.
Fold parse_fold(const std::string& text);

struct PrepareLabelledOptions {
  std::filesystem::path train;
  std::filesystem::path valid;  // empty: held out of train, by label unless there are several, groups kept together
  std::filesystem::path test;   // empty: none
  std::vector<std::filesystem::path> unlabelled;  // more text for the language model
  std::filesystem::path output;
  std::optional<LabelledFormat> format;              // by default, by each file's ending
  std::optional<CorpusFormat> unlabelled_format;     // by default, format_by_ending()
  std::vector<std::string> unlabelled_text_columns;  // by default, columns.text
  LabelledColumns columns;
  double valid_share = 0.1;        // in [0, 1); 0: no validation split
  std::int64_t valid_least = 0;    // texts held out at least, where these are no more than a fifth of all
  Fold fold;                       // with `test` empty
  bool include_test_text = false;  // in OUTPUT/lm; corpus.json records it
  std::uint64_t seed = 0;          // of the held-out draw
  std::string license;             // of the text: for lineage and card
  text::TextOptions text;
  text::VocabularyOptions vocabulary;  // built from the text of OUTPUT/lm's "train"
  KnownVocabulary known;               // none: all words are those of that text
  std::int64_t shard_tokens = data::kShardTokens;
  int threads = 0;

  std::vector<std::filesystem::path> inputs() const;  // train, valid, test, unlabelled; some may be empty
};

struct PreparedLabelled {
  bool already_prepared = false;  // the rest is then empty
  PrepareReport report;
  std::vector<std::string> labels;  // in id order: by bytes
  std::int64_t vocabulary_size = 0;
  text::CleanCounts cleaned;
  std::uint64_t text_bytes = 0;
  double seconds = 0;
};

// Makes the folder or leaves nothing. Throws ConfigError for options out of range; DataError for text that cannot be read,
// no rows, an empty label (without a label delimiter), a single class, a label of valid or test that train lacks, and an
// output folder with other content, or (ConfigError) within an input folder.
PreparedLabelled prepare_labelled(const PrepareLabelledOptions& options);

}  // namespace ulmfit::data_prep
