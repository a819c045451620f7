#include "data_prep/labelled_reader.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "data_prep/text_source.h"
#include "text/code_point.h"
#include "text/text_pipeline.h"

namespace ulmfit::data_prep {
namespace {

constexpr std::pair<std::string_view, LabelledFormat> kEndings[] = {
    {".csv", LabelledFormat::kCsv},      {".tsv", LabelledFormat::kTsv},    {".jsonl", LabelledFormat::kJsonl},
    {".ndjson", LabelledFormat::kJsonl}, {".json", LabelledFormat::kJsonl}, {".label", LabelledFormat::kTrec},
    {".trec", LabelledFormat::kTrec}};

std::string stripped(const std::string& text) {
  constexpr std::string_view kBlank = " \t\n\f\v";
  const std::size_t first = text.find_first_not_of(kBlank);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(kBlank) + 1 - first);
}

std::vector<std::string> all_columns(const LabelledColumns& columns) {
  std::vector<std::string> all = columns.text;
  if (!columns.label.empty()) all.push_back(columns.label);
  if (!columns.group.empty()) all.push_back(columns.group);
  return all;
}

// The folder of the class in ROOT/CLASS/...; empty: none. Names begin with that of the root.
std::string class_of(const InputFile& file) {
  const std::size_t begin = file.name.find('/') + 1;
  const std::size_t end = file.name.find('/', begin);
  return begin == 0 || end == std::string::npos ? "" : file.name.substr(begin, end - begin);
}

TableFormat table_format(LabelledFormat format) {
  if (format == LabelledFormat::kJsonl) return TableFormat::kJsonl;
  return format == LabelledFormat::kCsv ? TableFormat::kCsv : TableFormat::kTsv;
}

}  // namespace

LabelledFormat labelled_format_of(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return LabelledFormat::kFolders;
  const std::string ending = without_compression_ending(path).extension().string();
  for (const auto& [known, format] : kEndings) {
    if (known == ending) return format;
  }
  for (const char* sheet : {".xlsx", ".xls", ".ods"}) {
    if (ending == sheet) {
      throw DataError(str("cannot read the spreadsheet ", path.string(), "; save its sheet as CSV in UTF-8"));
    }
  }
  throw DataError(str("cannot tell the format of ", path.string(),
                      " by its name; give --format csv, tsv, jsonl or trec, or a folder with a "
                      "folder of text files for each class"));
}

std::vector<std::string> labels_in(const std::string& field, char delimiter) {
  std::set<std::string> labels;
  for (std::size_t at = 0; at <= field.size();) {
    const std::size_t end = std::min(field.find(delimiter, at), field.size());
    if (std::string label = stripped(field.substr(at, end - at)); !label.empty()) labels.insert(std::move(label));
    at = end + 1;
  }
  return {labels.begin(), labels.end()};
}

LabelledReader::LabelledReader(const std::filesystem::path& path, LabelledFormat format, const LabelledColumns& columns)
    : path_(path), format_(format), columns_(columns) {
  columns_.table.column_options = "--text-column or --label-column";
  if (columns.text.empty()) throw ConfigError("no text column was given");
  if (std::find(columns.text.begin(), columns.text.end(), columns.label) != columns.text.end()) {
    throw ConfigError(
        str("--text-column names '", columns.label, "', which is the label column too: the text would hold its label"));
  }
  const bool has_columns = format != LabelledFormat::kTrec && format != LabelledFormat::kFolders;
  if (!has_columns && !columns.group.empty()) {
    throw ConfigError(str("cannot read group column '", columns.group, "' of ", path.string(), ": ",
                          name_in(kLabelledFormats, format), " has no columns"));
  }
  if (format == LabelledFormat::kFolders) {
    files_ = list_files({path});
    for (const InputFile& file : files_) {
      if (class_of(file).empty()) {
        throw DataError(str("cannot read ", file.path.string(), " as a labelled text: it lies in no folder of ",
                            path.string(), "; expected a folder for each class, with a file for each of its texts"));
      }
    }
  } else if (format == LabelledFormat::kTrec) {
    trec_ = std::make_unique<LineReader>(path, cleaned_, columns.table.max_line_bytes);
  } else {
    table_ = TableReader::open(path, table_format(format), all_columns(columns), columns_.table, cleaned_);
  }
}

bool LabelledReader::next(LabelledRow& row) {
  row = {};
  const bool found = table_ != nullptr ? next_table(row) : trec_ != nullptr ? next_trec(row) : next_file(row);
  if (!found) return false;
  if (row.text.size() > text::kLongestDocument) {
    throw DataError(str("cannot read ", row.file.empty() ? path_.string() : row.file, ":", row.line, ": a text of ",
                        row.text.size(), " bytes; the longest is ", text::kLongestDocument, ": split it"));
  }
  row.empty = row.empty || text::strip(row.text).empty();
  if (!columns_.label.empty()) check_label(row);
  return true;
}

bool LabelledReader::supposes_no_header() const {
  if (format_ != LabelledFormat::kCsv && format_ != LabelledFormat::kTsv) return false;
  const std::vector<std::string> columns = all_columns(columns_);
  return !columns_.table.header && std::all_of(columns.begin(), columns.end(), is_column_number);
}

bool LabelledReader::next_trec(LabelledRow& row) {
  std::string line;
  do {
    if (!trec_->next(line)) return false;
  } while (stripped(line).empty());
  row.line = trec_->line_number();
  const std::size_t colon = line.find(':');
  const std::size_t blank = line.find(' ');
  if (colon == std::string::npos || blank == std::string::npos || blank < colon) {
    throw DataError(str("cannot read ", path_.string(), ":", row.line, ": expected 'COARSE:fine question', found '",
                        line.substr(0, 60), "'"));
  }
  if (!columns_.label.empty()) row.label = line.substr(0, colon);
  row.text = line.substr(blank + 1);
  return true;
}

bool LabelledReader::next_table(LabelledRow& row) {
  std::vector<std::string> values;
  if (!table_->next(values)) return false;
  row.line = table_->line_number();
  row.text = join_fields(values, columns_.text.size());
  row.empty = all_blank(values, columns_.text.size());
  std::size_t at = columns_.text.size();
  if (!columns_.label.empty()) row.label = stripped(values[at++]);
  if (!columns_.group.empty()) row.group = stripped(values[at]);
  return true;
}

bool LabelledReader::next_file(LabelledRow& row) {
  if (next_file_ == files_.size()) return false;
  const InputFile& file = files_[next_file_++];
  const std::string content = read_text(file.path, text::kLongestDocument);
  refuse_binary(content, file.path.string());
  row.text = text::clean_utf8(content, cleaned_);
  if (!columns_.label.empty()) row.label = class_of(file);
  row.file = file.name;
  row.line = 1;
  return true;
}

void LabelledReader::check_label(const LabelledRow& row) const {
  if (row.label.empty() && !columns_.label_delimiter) {
    throw DataError(str("cannot read ", path_.string(), ":", row.line,
                        ": the label is empty; label the text, or leave it out ", "and give it as unlabelled text"));
  }
  if (row.label.find('\n') != std::string::npos) {
    throw DataError(str("cannot read ", path_.string(), ":", row.line, ": the label holds a line end; is '", columns_.label,
                        "' the right column?"));
  }
}

}  // namespace ulmfit::data_prep
