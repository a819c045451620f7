// What was given of the options that a struct declares, for the pipelines that a command writes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/option_set.h"

namespace ulmfit::commands {

// Of those that Options declares, the ones given to the command of `set`, and their values.
template <class Options>
std::vector<std::pair<std::string, std::string>> given_of(const config::OptionSet& set) {
  Options options;
  config::OptionSet known("");
  options.declare(known);
  std::vector<std::pair<std::string, std::string>> values;
  for (auto& value : set.given_values()) {
    if (known.has(value.first)) values.push_back(std::move(value));
  }
  return values;
}

}  // namespace ulmfit::commands
