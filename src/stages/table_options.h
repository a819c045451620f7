// Options of how tables and lines of text are read, for every command that reads them.
#pragma once

#include <string>
#include <utility>

#include "config/option_set.h"
#include "data_prep/table_reader.h"

namespace ulmfit::stages {

// --header, --delimiter, --max-line-bytes.
class TableArguments {
 public:
  static constexpr const char* kAuto = "auto";  // that of the texts that a model was trained on

  explicit TableArguments(std::string delimiter = ",") : delimiter_(std::move(delimiter)) {}
  void declare(config::OptionSet& set);
  // What "auto" is from now on; before, a comma.
  void choose_delimiter(char delimiter) {
    if (delimiter_ == kAuto) delimiter_ = std::string(1, delimiter);
  }
  data_prep::TableOptions resolved() const;  // ConfigError for a delimiter that cannot be one

 private:
  data_prep::TableOptions options_;
  std::string delimiter_;
};

// The last alone.
void declare_max_line_bytes(config::OptionSet& set, std::int64_t& bytes);

}  // namespace ulmfit::stages
