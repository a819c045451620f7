#include "data_prep/corpus_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "data_prep/html_text.h"
#include "data_prep/line_reader.h"
#include "data_prep/table_reader.h"
#include "data_prep/text_source.h"
#include "data_prep/wikitext_reader.h"
#include "text/text_pipeline.h"

namespace ulmfit::data_prep {
namespace {

class LineDocuments : public DocumentReader {
 public:
  LineDocuments(const std::filesystem::path& path, text::CleanCounts& cleaned, std::int64_t max_line_bytes)
      : lines_(path, cleaned, max_line_bytes) {}
  bool next(RawDocument& document) override {
    if (!lines_.next(document.text)) return false;
    document.line = lines_.line_number();
    return true;
  }

 private:
  LineReader lines_;
};

class WholeFile : public DocumentReader {
 public:
  WholeFile(std::filesystem::path path, bool html, text::CleanCounts& cleaned)
      : path_(std::move(path)), html_(html), cleaned_(cleaned) {}
  bool next(RawDocument& document) override {
    if (std::exchange(done_, true)) return false;
    const std::string content = read_text(path_, html_ ? kLongestFile : text::kLongestDocument);
    if (!html_) refuse_binary(content, path_.string());
    document.text = html_ ? html_text(content, path_.string(), cleaned_) : text::clean_utf8(content, cleaned_);
    document.line = 1;
    return true;
  }

 private:
  std::filesystem::path path_;
  bool html_;
  text::CleanCounts& cleaned_;
  bool done_ = false;
};

class TableDocuments : public DocumentReader {
 public:
  TableDocuments(const std::filesystem::path& path, TableFormat format, const CorpusSource& source,
                 text::CleanCounts& cleaned)
      : rows_(TableReader::open(path, format, source.text_columns, source.table, cleaned)),
        columns_(source.text_columns.size()) {}
  bool next(RawDocument& document) override {
    std::vector<std::string> values;
    if (!rows_->next(values)) return false;
    document.text = join_fields(values, columns_);
    document.line = rows_->line_number();
    return true;
  }

 private:
  std::unique_ptr<TableReader> rows_;
  std::size_t columns_;
};

}  // namespace

std::vector<std::string_view> file_endings(CorpusFormat format) {
  switch (format) {
    case CorpusFormat::kHtml:
      return {".html", ".htm", ".xhtml"};
    case CorpusFormat::kCsv:
      return {".csv"};
    case CorpusFormat::kTsv:
      return {".tsv"};
    case CorpusFormat::kJsonl:
      return {".jsonl", ".ndjson", ".json"};
    default:
      return {};
  }
}

CorpusFormat format_by_ending(const std::filesystem::path& path) {
  const auto of_file = [](const std::filesystem::path& file) {
    const std::string ending = without_compression_ending(file).extension().string();
    for (const auto& known : kCorpusFormats) {
      const std::vector<std::string_view> endings = file_endings(known.value);
      if (std::find(endings.begin(), endings.end(), ending) != endings.end()) return known.value;
    }
    return CorpusFormat::kLines;
  };
  if (!std::filesystem::is_directory(path)) return of_file(path);
  const std::vector<InputFile> files = list_files({path});
  const CorpusFormat format = of_file(files.front().path);
  for (const InputFile& file : files) {
    if (of_file(file.path) == format) continue;
    throw DataError(str("cannot tell the format of the folder ", path.string(), ": ", files.front().name, " looks like ",
                        name_in(kCorpusFormats, format), ", ", file.name, " like ",
                        name_in(kCorpusFormats, of_file(file.path)),
                        "; give the format, or a folder of one kind of files"));
  }
  return format;
}

std::unique_ptr<DocumentReader> open_documents(const std::filesystem::path& path, const CorpusSource& source,
                                               text::CleanCounts& cleaned) {
  switch (source.format) {
    case CorpusFormat::kLines:
      return std::make_unique<LineDocuments>(path, cleaned, source.table.max_line_bytes);
    case CorpusFormat::kWikitext:
      return std::make_unique<WikitextReader>(path, source.undo_wikitext_marks, cleaned, source.table.max_line_bytes);
    case CorpusFormat::kFiles:
    case CorpusFormat::kHtml:
      return std::make_unique<WholeFile>(path, source.format == CorpusFormat::kHtml, cleaned);
    case CorpusFormat::kCsv:
      return std::make_unique<TableDocuments>(path, TableFormat::kCsv, source, cleaned);
    case CorpusFormat::kTsv:
      return std::make_unique<TableDocuments>(path, TableFormat::kTsv, source, cleaned);
    case CorpusFormat::kJsonl:
      return std::make_unique<TableDocuments>(path, TableFormat::kJsonl, source, cleaned);
  }
  throw ConfigError("unknown text format");
}

CorpusReader::CorpusReader(CorpusSource source)
    : source_(std::move(source)), files_(list_files(source_.inputs, file_endings(source_.format))) {}

bool CorpusReader::next(RawDocument& document) {
  for (;;) {
    if (open_ == nullptr) {
      if (next_file_ == files_.size()) return false;
      open_ = open_documents(files_[next_file_++].path, source_, cleaned_);
    }
    document.file = next_file_ - 1;
    if (!open_->next(document)) {
      open_.reset();
    } else if (document.text.size() > text::kLongestDocument) {
      throw DataError(str("cannot read ", place(document), ": a document of ", document.text.size(),
                          " bytes or more; the longest is ", text::kLongestDocument,
                          ": split it, or choose the --format that finds its documents"));
    } else if (document.text.find_first_not_of(" \t\n\f\v") != std::string::npos) {
      return true;
    }
  }
}

std::string CorpusReader::place(const RawDocument& document) const {
  return str(files_[document.file].name, ":", document.line);
}

}  // namespace ulmfit::data_prep
