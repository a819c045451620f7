#include "stages/table_options.h"

#include "base/error.h"
#include "base/named_values.h"

namespace ulmfit::stages {
namespace {

constexpr Named<bool> kYesNo[] = {{true, "yes"}, {false, "no"}};

}  // namespace

void declare_max_line_bytes(config::OptionSet& set, std::int64_t& bytes) {
  set.add("max-line-bytes", bytes, "longest line of text, or field of a CSV file, that is read; memory grows with it",
          {.min = 1, .max = 1e12});
}

void TableArguments::declare(config::OptionSet& set) {
  set.add("header", options_.header, kYesNo,
          "CSV, TSV: whether the first row holds column names; auto: if a column is given by name");
  set.add("delimiter", delimiter_,
          delimiter_ == kAuto ? "CSV: the character between fields, or tab; auto: that of the classifier's training file"
                              : "CSV: the character between fields, or tab");
  declare_max_line_bytes(set, options_.max_line_bytes);
}

data_prep::TableOptions TableArguments::resolved() const {
  data_prep::TableOptions options = options_;
  if (delimiter_ == kAuto) return options;
  options.delimiter = delimiter_ == "tab" || delimiter_ == "\\t" ? '\t' : delimiter_.empty() ? '\0' : delimiter_[0];
  const bool plain = static_cast<unsigned char>(options.delimiter) < 0x80 && options.delimiter != '"' &&
                     options.delimiter != '\n' && options.delimiter != '\r' && options.delimiter != '\0';
  if (!plain || (delimiter_.size() > 1 && options.delimiter != '\t')) {
    throw ConfigError(str("--delimiter=", delimiter_, ": expected one ASCII character such as ; or |, or tab"));
  }
  return options;
}

}  // namespace ulmfit::stages
