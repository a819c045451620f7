// Options of where labelled texts come from, and how they are read and split: of prepare-labelled and fit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/option_set.h"
#include "data_prep/prepare_labelled.h"
#include "stages/table_options.h"

namespace ulmfit::commands {

struct LabelledSources {
  std::string train;
  std::string valid;
  std::string test;
  std::vector<std::string> unlabelled;
  static constexpr const char* kNone = "none";
  std::string label_delimiter = kNone;  // none: a text has one label
  std::int64_t seed = 0;
  stages::TableArguments table;
  void declare(config::OptionSet& set);
  data_prep::PrepareLabelledOptions resolved() const;  // all but output, text, vocabulary and threads

 private:
  data_prep::PrepareLabelledOptions options_;
};

}  // namespace ulmfit::commands
