#include "study/texts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string_view>
#include <unordered_set>

#include "base/error.h"
#include "data_prep/labelled_reader.h"
#include "data_prep/labelled_set.h"

namespace ulmfit::study {
namespace {

namespace fs = std::filesystem;

LabelledTexts read_labelled(const fs::path& file, const data_prep::PrepareLabelledOptions& options) {
  LabelledTexts texts;
  if (file.empty()) return texts;
  const auto format = options.format ? *options.format : data_prep::labelled_format_of(file);
  data_prep::LabelledReader reader(file, format, options.columns);
  data_prep::LabelledRow row;
  while (reader.next(row)) {
    texts.texts.push_back(std::move(row.text));
    texts.labels.push_back(std::move(row.label));
  }
  if (texts.texts.empty()) {
    throw DataError(str("cannot read ", file.string(), ": it has no rows; check the file and its format"));
  }
  return texts;
}

void number_classes(LabelledTexts& texts, const std::vector<std::string>& classes, const fs::path& file) {
  for (std::size_t t = 0; t < texts.labels.size(); ++t) {
    const auto found = std::lower_bound(classes.begin(), classes.end(), texts.labels[t]);
    if (found == classes.end() || *found != texts.labels[t]) {
      throw DataError(str("cannot use ", file.string(), ": the label '", texts.labels[t], "' of its text ", t + 1,
                          " is not one of the training texts'; a classifier cannot learn it"));
    }
    texts.classes.push_back(static_cast<std::int32_t>(found - classes.begin()));
  }
}

void measure_unlabelled(const data_prep::PrepareLabelledOptions& options, Sources& sources) {
  const std::unordered_set<std::string_view> tested(sources.test.texts.begin(), sources.test.texts.end());
  for (const fs::path& path : options.unlabelled) {
    const std::vector<std::string>& columns =
        options.unlabelled_text_columns.empty() ? options.columns.text : options.unlabelled_text_columns;
    data_prep::CorpusReader reader(
        {{path}, data_prep::unlabelled_format(options, path), columns, options.columns.table, true});
    data_prep::RawDocument document;
    while (reader.next(document)) {
      sources.unlabelled_bytes += static_cast<double>(document.text.size());
      sources.unlabelled_tests += tested.contains(std::string_view(document.text)) ? 1 : 0;
    }
  }
}

}  // namespace

std::vector<std::size_t> LabelledTexts::all() const {
  std::vector<std::size_t> numbers(texts.size());
  std::iota(numbers.begin(), numbers.end(), std::size_t{0});
  return numbers;
}

double LabelledTexts::bytes(const std::vector<std::size_t>& which) const {
  double sum = 0;
  for (const std::size_t t : which) sum += static_cast<double>(texts[t].size());
  return sum;
}

std::string LabelledTexts::lines(const std::vector<std::size_t>& which) const {
  std::string text;
  for (const std::size_t t : which) {
    text += nlohmann::json{{"text", texts[t]}, {"label", labels[t]}}.dump() + "\n";
  }
  return text;
}

Sources read_sources(const Request& request) {
  const data_prep::PrepareLabelledOptions& options = request.sources;
  if (options.columns.label_delimiter) {
    throw ConfigError("a study is of texts with one label each: leave --label-delimiter out");
  }
  Sources sources;
  sources.train = read_labelled(options.train, options);
  const std::set<std::string> classes(sources.train.labels.begin(), sources.train.labels.end());
  sources.classes.assign(classes.begin(), classes.end());
  if (classes.size() < 2) {
    throw DataError(str("cannot study ", options.train.string(), ": all its texts have the label '",
                        sources.classes.front(), "'; expected two or more classes; is the label column right?"));
  }
  sources.valid = read_labelled(options.valid, options);
  sources.test = read_labelled(options.test, options);
  number_classes(sources.train, sources.classes, options.train);
  number_classes(sources.valid, sources.classes, options.valid);
  number_classes(sources.test, sources.classes, options.test);
  measure_unlabelled(options, sources);
  return sources;
}

double bytes_a_token(const LabelledTexts& texts, const text::TextPipeline& pipeline) {
  constexpr std::size_t kMost = 1000;
  const std::size_t step = std::max<std::size_t>((texts.texts.size() + kMost - 1) / kMost, 1);
  double bytes = 0, tokens = 0;
  for (std::size_t t = 0; t < texts.texts.size(); t += step) {
    bytes += static_cast<double>(texts.texts[t].size());
    tokens += static_cast<double>(pipeline.tokenize(texts.texts[t]).size());
  }
  return bytes > 0 ? bytes / tokens : 1;
}

}  // namespace ulmfit::study
