// Labelled documents, one after the other: CSV, TSV, JSON lines, the TREC question format ("COARSE:fine question", the
// coarse label is taken), and a folder that holds a folder of text files for each class.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/named_values.h"
#include "data_prep/input_files.h"
#include "data_prep/line_reader.h"
#include "data_prep/table_reader.h"
#include "text/utf8.h"

namespace ulmfit::data_prep {

enum class LabelledFormat { kCsv, kTsv, kJsonl, kTrec, kFolders };

inline constexpr Named<LabelledFormat> kLabelledFormats[] = {{LabelledFormat::kCsv, "csv"},
                                                             {LabelledFormat::kTsv, "tsv"},
                                                             {LabelledFormat::kJsonl, "jsonl"},
                                                             {LabelledFormat::kTrec, "trec"},
                                                             {LabelledFormat::kFolders, "folders"}};

// Of a folder, folders; of a file, by the name's ending before .gz, .xz or .zst: .csv, .tsv, .jsonl, .ndjson, .json,
// .label, .trec. Throws DataError else.
LabelledFormat labelled_format_of(const std::filesystem::path& path);

struct LabelledColumns {
  std::vector<std::string> text{"text"};  // names or 1-based numbers; several are joined (join_fields)
  std::string label = "label";            // empty: rows have no label
  std::string group;                      // empty: rows have no group
  TableOptions table;
  // Between the labels of a text that may have several, or none; not given: it has one.
  std::optional<char> label_delimiter{};
};

struct LabelledRow {
  std::string text;
  std::string label;  // with a label delimiter, the field that labels_in() takes apart
  std::string group;
  std::string file;  // of folders: its name; else empty
  std::int64_t line = 0;
  bool empty = false;  // nothing but white space
};

// The labels in a field, sorted by their bytes, each once; what is empty or blank between delimiters is none.
std::vector<std::string> labels_in(const std::string& field, char delimiter);

class LabelledReader {
 public:
  // Throws DataError for a missing column, listing those that are there, and for a text file beside the folders of the
  // classes; ConfigError for a group column where there are no columns.
  LabelledReader(const std::filesystem::path& path, LabelledFormat format, const LabelledColumns& columns);

  // False at the end. Throws DataError with file:line for an empty label (unless there may be several), or one with a line
  // end, and a damaged row.
  bool next(LabelledRow& row);

  const text::CleanCounts& cleaned() const { return cleaned_; }
  // The first row was taken for a text because all columns are given by number, and nobody has said that there is no
  // header.
  bool supposes_no_header() const;

 private:
  bool next_trec(LabelledRow& row);
  bool next_table(LabelledRow& row);
  bool next_file(LabelledRow& row);
  void check_label(const LabelledRow& row) const;

  std::filesystem::path path_;
  LabelledFormat format_;
  LabelledColumns columns_;
  text::CleanCounts cleaned_;
  std::unique_ptr<TableReader> table_;
  std::unique_ptr<LineReader> trec_;
  std::vector<InputFile> files_;
  std::size_t next_file_ = 0;
};

}  // namespace ulmfit::data_prep
