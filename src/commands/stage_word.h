// Commands that look at the training of a stage are called with its name and its options.
#pragma once

#include <string>
#include <string_view>

#include "commands/command.h"

namespace ulmfit::commands {

// Takes the stage's name out of `arguments` and gives it; "pretrain" if they begin with an option. Adds an --output where
// there is none: a stage needs one, and nothing is written there. ConfigError for a name that is no stage's.
std::string take_stage_word(Arguments& arguments, std::string_view command);

}  // namespace ulmfit::commands
