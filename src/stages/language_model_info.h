// A stage that is a language model: model::SoftmaxHead.
#pragma once

#include <memory>
#include <string_view>

#include "stages/head_info.h"

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

std::shared_ptr<const HeadInfo> read_language_model_info(const StageFields& fields, const model::Shape& shape);

}  // namespace ulmfit::stages
