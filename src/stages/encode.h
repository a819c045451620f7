// A new text as a finished stage reads it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "stages/stage_folder.h"

namespace ulmfit::stages {

struct EncodedText {
  std::vector<std::int64_t> ids;  // at least one; from the end, but for the first, if the model reads backward
  double unknown_share = 0;       // of its tokens
};

EncodedText encode(const TrainedModel& model, const std::string& text);

}  // namespace ulmfit::stages
