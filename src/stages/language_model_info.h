// A stage that is a language model: model::SoftmaxHead.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "stages/head_info.h"
#include "stages/stage_info.h"

namespace ulmfit::stages {

class LanguageModelInfo : public HeadInfo {
 public:
  static constexpr std::string_view kName = "lm";

  const HeadKind& kind() const override { return head_kind(kName); }
  void write(nlohmann::json& /*stage*/) const override {}
  std::int64_t weights() const override { return 0; }  // its bias is not worth counting
  std::unique_ptr<model::Head> make(const model::AwdLstm& encoder) const override;
  void complete(reports::CardInfo& card) const override;
};

// Of a stage's lineage: which softmax an ancestor was trained with, if not the one over all words.
inline constexpr const char* kSoftmaxFact = "softmax";

// For a stage just as an adaptive softmax has left it: that it is read with another softmax, and what to do; else "".
std::string note_of_softmax(const StageInfo& info);

std::shared_ptr<const HeadInfo> read_language_model_info(const StageFields& fields, const model::Shape& shape);

}  // namespace ulmfit::stages
