// The language models that a whole way from text to classifier starts from.
#pragma once

#include <string>
#include <vector>

#include "stages/stage_folder.h"

namespace ulmfit::stages {

struct StartingModel {
  std::string from;    // its folder, as given
  std::string suffix;  // of folders for what is made of it, where there are two: "-forward", "-backward"
  TrainedModel model;  // without its weights
};

// What --from names: one language model, or one that reads forward and one that reads backward, made with the same text
// rules. Throws ConfigError for anything else, CheckpointError for a folder without a finished stage.
std::vector<StartingModel> starting_models(const std::vector<std::string>& from);

}  // namespace ulmfit::stages
