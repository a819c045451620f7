// Labelled documents, one after the other: CSV, TSV, JSON lines, and the TREC question format ("COARSE:fine question", the
// coarse label is taken).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/named_values.h"
#include "data_prep/line_reader.h"
#include "data_prep/table_reader.h"
#include "text/utf8.h"

namespace ulmfit::data_prep {

enum class LabelledFormat { kCsv, kTsv, kJsonl, kTrec };

inline constexpr Named<LabelledFormat> kLabelledFormats[] = {{LabelledFormat::kCsv, "csv"},
                                                             {LabelledFormat::kTsv, "tsv"},
                                                             {LabelledFormat::kJsonl, "jsonl"},
                                                             {LabelledFormat::kTrec, "trec"}};

// By the name's ending before .gz, .xz or .zst: .csv, .tsv, .jsonl, .ndjson, .json, .label, .trec. Throws DataError else.
LabelledFormat labelled_format_of(const std::filesystem::path& path);

struct LabelledColumns {
  std::vector<std::string> text{"text"};  // names or 1-based numbers; several are joined (join_fields)
  std::string label = "label";            // empty: rows have no label
  std::string group;                      // empty: rows have no group
  std::optional<bool> header;             // see TableReader::open
  std::int64_t max_line_bytes = kMaxLineBytes;
};

struct LabelledRow {
  std::string text;
  std::string label;
  std::string group;
  std::int64_t line = 0;
};

class LabelledReader {
 public:
  // Throws DataError for a missing column, listing those that are there; ConfigError for a group column of a TREC file.
  LabelledReader(const std::filesystem::path& path, LabelledFormat format, const LabelledColumns& columns);

  // False at the end. Throws DataError with file:line for an empty label, or one with a line end, and a damaged row.
  bool next(LabelledRow& row);

  const text::CleanCounts& cleaned() const { return cleaned_; }

 private:
  bool next_trec(LabelledRow& row);
  bool next_table(LabelledRow& row);
  void check_label(const LabelledRow& row) const;

  std::filesystem::path path_;
  LabelledColumns columns_;
  text::CleanCounts cleaned_;
  std::unique_ptr<TableReader> table_;
  std::unique_ptr<LineReader> trec_;
};

}  // namespace ulmfit::data_prep
