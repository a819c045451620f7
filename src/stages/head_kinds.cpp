#include <algorithm>
#include <array>
#include <stdexcept>

#include "base/error.h"
#include "stages/classifier_info.h"
#include "stages/evaluate_kinds.h"
#include "stages/head_info.h"
#include "stages/language_model_info.h"

namespace ulmfit::stages {

std::span<const HeadKind> head_kinds() {
  static constexpr std::array kKinds = {
      HeadKind{LanguageModelInfo::kName, "language model", read_language_model_info, evaluate_language_models},
      HeadKind{ClassifierInfo::kName, "classifier", read_classifier_info, evaluate_classifiers},
  };
  return kKinds;
}

const HeadKind& head_kind(std::string_view name) {
  const auto kinds = head_kinds();
  const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const HeadKind& kind) { return kind.name == name; });
  if (found == kinds.end()) throw std::out_of_range(str("no kind of head is called ", name));
  return *found;
}

}  // namespace ulmfit::stages
