// Documents of unlabelled text, one after the other, in bounded memory (one document).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/named_values.h"
#include "base/read_line.h"
#include "data_prep/input_files.h"
#include "data_prep/table_reader.h"
#include "text/utf8.h"

namespace ulmfit::data_prep {

enum class CorpusFormat {
  kLines,     // each line is a document
  kWikitext,  // as WikiText: a line " = Title = " between blank lines starts a document; its other lines joined by LF
  kFiles,     // each file is a document
  kHtml,      // each file is a document: its visible text
  kCsv,       // each record is a document: its text columns
  kTsv,
  kJsonl,
};

inline constexpr Named<CorpusFormat> kCorpusFormats[] = {
    {CorpusFormat::kLines, "lines"}, {CorpusFormat::kWikitext, "wikitext"}, {CorpusFormat::kFiles, "files"},
    {CorpusFormat::kHtml, "html"},   {CorpusFormat::kCsv, "csv"},           {CorpusFormat::kTsv, "tsv"},
    {CorpusFormat::kJsonl, "jsonl"}};

struct CorpusSource {
  std::vector<std::filesystem::path> inputs;  // files and folders
  CorpusFormat format = CorpusFormat::kLines;
  std::vector<std::string> text_columns{"text"};  // csv, tsv, jsonl; several are joined (join_fields)
  TableOptions table;                             // its max_line_bytes: of all formats but files and html
  bool undo_wikitext_marks = true;                // wikitext: " @,@ " -> "," (the fastai rules undo the other two)
};

struct RawDocument {
  std::string text;       // valid UTF-8, LF line ends
  std::int64_t line = 0;  // where it begins in its file, from 1
  std::size_t file = 0;   // index in CorpusReader::files()
};

// Documents of one file.
class DocumentReader {
 public:
  virtual ~DocumentReader() = default;
  virtual bool next(RawDocument& document) = 0;  // false at the end; may give blank ones; leaves `file` alone
};

class CorpusReader {
 public:
  // Throws DataError for inputs that are not there (list_files).
  explicit CorpusReader(CorpusSource source);

  // The next document that is not blank; false after the last. Throws DataError with file and line.
  bool next(RawDocument& document);

  const std::vector<InputFile>& files() const { return files_; }
  std::string place(const RawDocument& document) const;  // "file:line"
  const text::CleanCounts& cleaned() const { return cleaned_; }

 private:
  CorpusSource source_;
  std::vector<InputFile> files_;
  text::CleanCounts cleaned_;
  std::unique_ptr<DocumentReader> open_;
  std::size_t next_file_ = 0;
};

// `cleaned` must outlive the reader.
std::unique_ptr<DocumentReader> open_documents(const std::filesystem::path& path, const CorpusSource& source,
                                               text::CleanCounts& cleaned);

// Endings of the files that a folder stands for in this format; empty: any.
std::vector<std::string_view> file_endings(CorpusFormat format);

// By a file's ending, or that of a folder's files: html, csv, tsv, jsonl, or lines for any other. Throws DataError for a
// folder whose files are of several formats, and as list_files does.
CorpusFormat format_by_ending(const std::filesystem::path& path);

}  // namespace ulmfit::data_prep
