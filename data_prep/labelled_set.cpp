#include "data_prep/labelled_set.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "data_prep/text_source.h"

namespace ulmfit::data_prep {
namespace {

// Its number, the next one for a new name.
std::int32_t number_of(const std::string& name, std::map<std::string, std::int32_t>& numbers,
                       std::vector<std::string>& names) {
  const auto [entry, is_new] = numbers.try_emplace(name, static_cast<std::int32_t>(names.size()));
  if (is_new) names.push_back(name);
  return entry->second;
}

}  // namespace

CorpusFormat unlabelled_format(const PrepareLabelledOptions& options, const std::filesystem::path& file) {
  if (options.unlabelled_format) return *options.unlabelled_format;
  const std::string ending = without_compression_ending(file).extension().string();
  if (ending == ".csv") return CorpusFormat::kCsv;
  if (ending == ".tsv") return CorpusFormat::kTsv;
  if (ending == ".jsonl" || ending == ".ndjson") return CorpusFormat::kJsonl;
  return CorpusFormat::kLines;
}

void LabelledSetReader::add(LabelledDocument document, std::string text) {
  set_.documents.push_back(document);
  spool_.add(std::move(text));
}

void LabelledSetReader::read_labelled(const std::filesystem::path& file, Split split) {
  LabelledReader reader(file, options_.format ? *options_.format : labelled_format_of(file), options_.columns);
  const auto whole_file = static_cast<std::int32_t>(set_.files.size());
  set_.files.push_back(file.filename().string());
  const std::size_t before = set_.documents.size();
  LabelledRow row;
  while (reader.next(row)) {
    if (!row.file.empty()) set_.files.push_back(row.file);
    const std::int32_t label = number_of(row.label, labels_, set_.labels);
    ++texts_of_label_[label];
    if (reader.supposes_no_header() && set_.documents.size() == before)
      first_rows_.push_back({file.filename().string(), label});
    const std::int32_t group = row.group.empty() ? -1 : number_of(row.group, groups_, set_.groups);
    const auto place = row.file.empty() ? whole_file : static_cast<std::int32_t>(set_.files.size() - 1);
    add({split, label, group, place, row.line, row.empty}, std::move(row.text));
  }
  cleaned_ += reader.cleaned();
  if (set_.documents.size() == before) {
    throw DataError(str("cannot prepare ", file.string(), ": it has no rows; check the file and its format"));
  }
}

void LabelledSetReader::read_unlabelled() {
  for (const std::filesystem::path& path : options_.unlabelled) {
    const std::vector<std::string>& columns =
        options_.unlabelled_text_columns.empty() ? options_.columns.text : options_.unlabelled_text_columns;
    CorpusReader reader({{path}, unlabelled_format(options_, path), columns, options_.columns.table, true});
    const auto first_file = static_cast<std::int32_t>(set_.files.size());
    for (const InputFile& file : reader.files()) set_.files.push_back(file.name);
    const std::size_t before = set_.documents.size();
    RawDocument document;
    while (reader.next(document)) {
      const std::int32_t file = first_file + static_cast<std::int32_t>(document.file);
      add({Split::kUnlabelled, -1, -1, file, document.line, false}, std::move(document.text));
    }
    cleaned_ += reader.cleaned();
    if (set_.documents.size() == before) {
      throw DataError(str("cannot prepare ", path.string(), ": it holds no text; check the file and its format"));
    }
  }
}

// A header that was taken for a text has a label that no text has.
void LabelledSetReader::tell_of_headers() {
  for (const auto& [file, label] : first_rows_) {
    const auto as_first =
        std::count_if(first_rows_.begin(), first_rows_.end(), [&](const auto& row) { return row.second == label; });
    if (texts_of_label_[label] > as_first) continue;
    set_.doubts.push_back(str(file, ": no text but its first row has the label '",
                              set_.labels[static_cast<std::size_t>(label)],
                              "': if that row is a header, give --header yes, else --header no"));
  }
}

LabelledSet LabelledSetReader::take() {
  tell_of_headers();
  std::vector<std::int32_t> sorted(set_.labels.size());  // by number in reading order: number in byte order
  std::int32_t next = 0;
  for (const auto& [label, number] : labels_) {
    sorted[static_cast<std::size_t>(number)] = next;
    set_.labels[static_cast<std::size_t>(next++)] = label;
  }
  for (LabelledDocument& d : set_.documents) {
    if (d.label >= 0) d.label = sorted[static_cast<std::size_t>(d.label)];
  }
  return std::move(set_);
}

void check_labels(const LabelledSet& set) {
  std::vector<bool> in_train(set.labels.size(), false);
  std::size_t classes = 0;
  for (const LabelledDocument& d : set.documents) {
    if (d.split != Split::kTrain || in_train[static_cast<std::size_t>(d.label)]) continue;
    in_train[static_cast<std::size_t>(d.label)] = true;
    ++classes;
  }
  for (const LabelledDocument& d : set.documents) {
    if (d.label < 0 || in_train[static_cast<std::size_t>(d.label)]) continue;
    throw DataError(str("cannot prepare ", set.files[static_cast<std::size_t>(d.file)], ": the label '",
                        set.labels[static_cast<std::size_t>(d.label)], "' at line ", d.line,
                        " is not one of the training text's; a classifier cannot learn it"));
  }
  if (classes < 2) {
    throw DataError(str("cannot prepare labelled text: all training texts have the label '", set.labels.front(),
                        "'; expected two or more classes; is the label column right?"));
  }
}

}  // namespace ulmfit::data_prep
