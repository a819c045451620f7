// Reads the files of a labelled set: the texts go to a token spool, what is known about them to a LabelledSet.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data_prep/labelled_report.h"
#include "data_prep/prepare_labelled.h"
#include "data_prep/token_spool.h"

namespace ulmfit::data_prep {

class LabelledSetReader {
 public:
  LabelledSetReader(const PrepareLabelledOptions& options, TokenSpool& spool) : options_(options), spool_(spool) {}

  // Each throws DataError when the file has no row.
  void read_labelled(const std::filesystem::path& file, Split split);
  void read_unlabelled();

  // The set with labels numbered in the order of their bytes, and label sets in that of their classes' numbers; after the
  // last file.
  LabelledSet take();

  const text::CleanCounts& cleaned() const { return cleaned_; }

 private:
  void add(LabelledDocument document, std::string text);
  void tell_of_headers();
  void tell_of_joined_labels();
  void tell_of_labels_alike();
  std::int32_t label_of(const LabelledRow& row);

  const PrepareLabelledOptions& options_;
  TokenSpool& spool_;
  LabelledSet set_;
  std::map<std::string, std::int32_t> labels_;
  std::map<std::vector<std::int32_t>, std::int32_t> label_sets_;
  std::map<std::string, std::int32_t> groups_;
  std::map<std::int32_t, std::int64_t> texts_of_label_;
  std::vector<std::pair<std::string, std::int32_t>> first_rows_;  // file and label, where they may be headers
  text::CleanCounts cleaned_;
};

// Throws DataError unless the texts of train have two or more classes, and those of valid and test none that train lacks
// (naming file and line).
void check_labels(const LabelledSet& set);

// How an unlabelled file or folder is read. Throws as format_by_ending does.
CorpusFormat unlabelled_format(const PrepareLabelledOptions& options, const std::filesystem::path& path);

}  // namespace ulmfit::data_prep
