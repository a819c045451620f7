// CARD.md of a stage: where it comes from, how it was made, what it reached, what was not measured.
#pragma once

#include <string>

#include "stages/stage_folder.h"

namespace ulmfit::stages {

std::string stage_card(const StageInfo& info, const std::string& config_text);

}  // namespace ulmfit::stages
