#include "stages/encode.h"

#include <algorithm>

namespace ulmfit::stages {

EncodedText encode(const TrainedModel& model, const std::string& text) {
  EncodedText encoded;
  std::int64_t unknown = 0;
  for (const auto& token : model.text->tokenize(text)) {
    encoded.ids.push_back(model.vocabulary->id(token));
    unknown += encoded.ids.back() == model.vocabulary->unk();
  }
  auto& ids = encoded.ids;
  if (!ids.empty()) encoded.unknown_share = static_cast<double>(unknown) / static_cast<double>(ids.size());
  if (ids.empty()) ids.push_back(model.vocabulary->bos());
  if (model.info.backward) std::reverse(ids.begin() + 1, ids.end());
  return encoded;
}

}  // namespace ulmfit::stages
