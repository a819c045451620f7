#include "stages/starting_models.h"

#include <utility>

#include "base/error.h"
#include "stages/classifier_info.h"

namespace ulmfit::stages {

std::vector<StartingModel> starting_models(const std::vector<std::string>& from) {
  std::vector<StartingModel> models;
  for (const std::string& path : from) {
    if (path == "none") throw ConfigError("--from=none is given beside others; give one or two language models, or none");
    TrainedModel model = describe_stage(path);
    if (model.info.head_info_as<ClassifierInfo>() != nullptr) {
      throw ConfigError(str("--from=", path, " is a classifier; give the language model that it was made of"));
    }
    if (!models.empty() && model.text->fingerprint() != models.front().model.text->fingerprint()) {
      throw ConfigError(str("--from: ", path, " and ", from.front(),
                            " were made with other text rules or another tokenizer: they cannot read the same texts"));
    }
    const std::string suffix = from.size() == 1 ? "" : model.info.backward ? "-backward" : "-forward";
    models.push_back({path, suffix, std::move(model)});
  }
  if (models.size() > 2 || (models.size() == 2 && models[0].suffix == models[1].suffix)) {
    throw ConfigError(str("--from names ", models.size(), " language models", models.size() == 2 ? " of one direction" : "",
                          "; expected one, or one that reads forward and one that reads backward"));
  }
  return models;
}

}  // namespace ulmfit::stages
