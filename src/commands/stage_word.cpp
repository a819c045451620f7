#include "commands/stage_word.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "stages/chosen_stage.h"

namespace ulmfit::commands {

std::string take_stage_word(Arguments& arguments, std::string_view command) {
  std::string stage = "pretrain";
  if (!arguments.empty() && !arguments[0].starts_with('-')) {
    stage = arguments[0];
    arguments.erase(arguments.begin());
    const std::vector<std::string> names(std::begin(stages::kStages), std::end(stages::kStages));
    if (std::find(names.begin(), names.end(), stage) == names.end()) {
      throw ConfigError(str(command, " knows no stage '", stage, "'; did you mean ", config::nearest(stage, names), "?"));
    }
  }
  const bool names_output =
      std::any_of(arguments.begin(), arguments.end(), [](const auto& a) { return a.starts_with("--output"); });
  if (!names_output) arguments.emplace_back("--output=-");
  return stage;
}

}  // namespace ulmfit::commands
