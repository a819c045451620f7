// Command lines, split by Boost.Program_options: --name=value, --name value, --flag, --flag=false, and of a list --name a
// b.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace ulmfit::config {

struct OptionForm {
  std::string name;
  bool flag = false;  // may stand without a value: "true"
  bool list = false;  // takes all values that follow
};

// Names and values in the order given, a list's one by one. Names are never abbreviated. Throws ConfigError for a missing
// value and for what is no option; calls `unknown`, which throws, with a name that no form has.
std::vector<std::pair<std::string, std::string>> split_command_line(const std::vector<std::string>& arguments,
                                                                    const std::vector<OptionForm>& forms,
                                                                    const std::function<void(const std::string&)>& unknown);

}  // namespace ulmfit::config
