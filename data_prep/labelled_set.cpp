#include "data_prep/labelled_set.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"

namespace ulmfit::data_prep {
namespace {

// Its number, the next one for a new name.
template <class Name>
std::int32_t number_of(const Name& name, std::map<Name, std::int32_t>& numbers, std::vector<Name>& names) {
  const auto [entry, is_new] = numbers.try_emplace(name, static_cast<std::int32_t>(names.size()));
  if (is_new) names.push_back(name);
  return entry->second;
}

// Renumbers the classes in the sets (`sorted`: by old number, the new one) and sorts the sets. By old number of a set, the
// new one. The classes of a set are in the order of their names.
std::vector<std::int32_t> sort_label_sets(data::LabelSets& sets, const std::vector<std::int32_t>& sorted) {
  std::map<std::vector<std::int32_t>, std::size_t> old_numbers;
  for (std::size_t s = 0; s < sets.size(); ++s) {
    for (std::int32_t& c : sets[s]) c = sorted[static_cast<std::size_t>(c)];
    old_numbers.emplace(sets[s], s);
  }
  std::vector<std::int32_t> numbers(sets.size());
  std::int32_t next = 0;
  for (const auto& [set, old_number] : old_numbers) {
    numbers[old_number] = next;
    sets[static_cast<std::size_t>(next++)] = set;
  }
  return numbers;
}

}  // namespace

CorpusFormat unlabelled_format(const PrepareLabelledOptions& options, const std::filesystem::path& path) {
  return options.unlabelled_format ? *options.unlabelled_format : format_by_ending(path);
}

void LabelledSetReader::add(LabelledDocument document, std::string text) {
  set_.documents.push_back(document);
  spool_.add(std::move(text));
}

std::int32_t LabelledSetReader::label_of(const LabelledRow& row) {
  const std::optional<char> delimiter = options_.columns.label_delimiter;
  if (!delimiter) return number_of(row.label, labels_, set_.labels);
  std::vector<std::int32_t> classes;
  for (const std::string& label : labels_in(row.label, *delimiter)) {
    classes.push_back(number_of(label, labels_, set_.labels));
  }
  return number_of(classes, label_sets_, set_.label_sets);
}

void LabelledSetReader::read_labelled(const std::filesystem::path& file, Split split) {
  LabelledReader reader(file, options_.format ? *options_.format : labelled_format_of(file), options_.columns);
  const auto whole_file = static_cast<std::int32_t>(set_.files.size());
  set_.files.push_back(file.filename().string());
  const std::size_t before = set_.documents.size();
  LabelledRow row;
  while (reader.next(row)) {
    if (!row.file.empty()) set_.files.push_back(row.file);
    const std::int32_t label = label_of(row);
    ++texts_of_label_[label];
    if (reader.supposes_no_header() && set_.documents.size() == before) {
      first_rows_.emplace_back(file.filename().string(), label);
    }
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
    const auto as_first = std::count_if(first_rows_.begin(), first_rows_.end(),
                                        [&wanted = label](const auto& row) { return row.second == wanted; });
    if (texts_of_label_[label] > as_first) continue;
    set_.doubts.push_back(str(file, ": no text but its first row has the label '", set_.told(label),
                              "': if that row is a header, give --header yes, else --header no"));
  }
}

// Where labels are made of what other labels are, or are made of, too, texts were probably given several.
void LabelledSetReader::tell_of_joined_labels() {
  if (options_.columns.label_delimiter) return;
  for (const char delimiter : {';', '|', ','}) {
    std::map<std::string, int> labels_with;
    for (const std::string& label : set_.labels) {
      for (const std::string& part : labels_in(label, delimiter)) ++labels_with[part];
    }
    std::vector<std::string> joined;
    for (const std::string& label : set_.labels) {
      const std::vector<std::string> parts = labels_in(label, delimiter);
      const auto stands_elsewhere = [&](const std::string& part) { return labels_with[part] > 1; };
      if (parts.size() > 1 && std::all_of(parts.begin(), parts.end(), stands_elsewhere)) joined.push_back(label);
    }
    if (joined.size() < 2) continue;
    set_.doubts.push_back(str(joined.size(), " labels are made of others, such as '", joined.front(),
                              "': if these are texts with several labels, give --label-delimiter '", delimiter, "'"));
    return;
  }
}

void LabelledSetReader::tell_of_labels_alike() {
  std::map<std::string, std::string> by_small_letters;
  for (const std::string& label : set_.labels) {
    std::string small = label;
    std::transform(small.begin(), small.end(), small.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const auto [found, is_new] = by_small_letters.try_emplace(small, label);
    if (is_new) continue;
    set_.doubts.push_back(str("the labels '", found->second, "' and '", label,
                              "' differ in capital letters alone and are two classes: is that meant?"));
  }
}

LabelledSet LabelledSetReader::take() {
  tell_of_headers();
  tell_of_joined_labels();
  tell_of_labels_alike();
  std::vector<std::int32_t> sorted(set_.labels.size());  // by number in reading order: number in byte order
  std::int32_t next = 0;
  for (const auto& [label, number] : labels_) {
    sorted[static_cast<std::size_t>(number)] = next;
    set_.labels[static_cast<std::size_t>(next++)] = label;
  }
  const auto several = [](const auto& classes) { return classes.size() > 1; };
  if (set_.multilabel() && std::none_of(set_.label_sets.begin(), set_.label_sets.end(), several)) {
    set_.doubts.emplace_back("no text has more than one label: is --label-delimiter right?");
  }
  if (set_.multilabel()) sorted = sort_label_sets(set_.label_sets, sorted);
  for (LabelledDocument& d : set_.documents) {
    if (d.label >= 0) d.label = sorted[static_cast<std::size_t>(d.label)];
  }
  return std::move(set_);
}

void check_labels(const LabelledSet& set) {
  std::set<std::int32_t> trained;
  std::size_t texts = 0;
  for (const LabelledDocument& d : set.documents) {
    if (d.split != Split::kTrain) continue;
    ++texts;
    for (const std::int32_t c : set.classes_of(d.label)) trained.insert(c);
  }
  constexpr std::size_t kFew = 20;  // texts may all have other labels by chance
  if (!set.multilabel() && texts >= kFew && 2 * trained.size() > texts) {
    throw DataError(str("cannot prepare labelled text: ", texts, " training texts have ", trained.size(),
                        " different labels, such as '", set.labels.front(), "'; is the label column right?"));
  }
  for (const LabelledDocument& d : set.documents) {
    for (const std::int32_t c : set.classes_of(d.label)) {
      if (trained.contains(c)) continue;
      throw DataError(str("cannot prepare ", set.files[static_cast<std::size_t>(d.file)], ": the label '",
                          set.labels[static_cast<std::size_t>(c)], "' at line ", d.line,
                          " is not one of the training text's; a classifier cannot learn it"));
    }
  }
  if (trained.size() >= 2) return;
  if (set.multilabel()) {
    throw DataError(str("cannot prepare labelled text: the training texts have ",
                        trained.empty() ? "no label" : str("one label, '", set.labels.front(), "'"),
                        "; expected two or more classes; are label column and --label-delimiter right?"));
  }
  throw DataError(str("cannot prepare labelled text: all training texts have the label '", set.labels.front(),
                      "'; expected two or more classes; is the label column right?"));
}

}  // namespace ulmfit::data_prep
