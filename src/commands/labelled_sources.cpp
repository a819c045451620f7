#include "commands/labelled_sources.h"

#include <optional>

#include "base/error.h"

namespace ulmfit::commands {
namespace {

std::optional<char> label_delimiter_of(const std::string& given) {
  if (given == LabelledSources::kNone) return std::nullopt;
  if (given == "tab" || given == "\\t") return '\t';
  if (given == "space") return ' ';
  const bool printed = given.size() == 1 && given[0] >= ' ' && given[0] <= '~';
  if (printed || given == "\t") return given[0];
  throw ConfigError(str("--label-delimiter=", given, ": expected one ASCII character such as ; or |, or tab, or space"));
}

}  // namespace

void LabelledSources::declare(config::OptionSet& set) {
  set.add(
      "train", train,
      "labelled training file (CSV, TSV, JSONL, TREC; .gz, .xz and .zst as they are), or a folder with a folder of text "
      "files for each class");
  set.require("train");
  set.add("valid", valid, "labelled validation file; without it a share of the training texts is held out");
  set.add("test", test, "labelled test file");
  set.add("unlabelled", unlabelled, "more text for the language model");
  set.add("format", options_.format, data_prep::kLabelledFormats, "of the labelled files; auto: by their ending");
  set.add("unlabelled-format", options_.unlabelled_format, data_prep::kCorpusFormats,
          "of the unlabelled files; auto: by their ending");
  set.add("text-column", options_.columns.text,
          "columns of the text, by name or number; several are joined with xxfld marks");
  set.add("unlabelled-text-column", options_.unlabelled_text_columns, "the same for the unlabelled files, if it differs");
  set.add("label-column", options_.columns.label, "column of the label");
  set.add("label-delimiter", label_delimiter,
          "texts have several labels, or none: the character between them, or tab, or space; none: one label a text");
  set.add("group-column", options_.columns.group,
          "column of a group (author, source ...) that is never split between training and validation");
  table.declare(set);
  set.add("valid-share", options_.valid_share, "share of the training texts held out for validation; 0: none",
          {.min = 0, .max = 0.9});
  set.add("seed", seed, "of the texts held out", {.min = 0});
}

data_prep::PrepareLabelledOptions LabelledSources::resolved() const {
  data_prep::PrepareLabelledOptions options = options_;
  options.columns.table = table.resolved();
  options.columns.label_delimiter = label_delimiter_of(label_delimiter);
  options.train = train;
  options.valid = valid;
  options.test = test;
  options.unlabelled = {unlabelled.begin(), unlabelled.end()};
  options.seed = static_cast<std::uint64_t>(seed);
  return options;
}

}  // namespace ulmfit::commands
