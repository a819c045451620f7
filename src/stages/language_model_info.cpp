#include "stages/language_model_info.h"

#include "model/softmax_head.h"

namespace ulmfit::stages {

std::unique_ptr<model::Head> LanguageModelInfo::make(const model::AwdLstm& encoder) const {
  return std::make_unique<model::SoftmaxHead>(encoder);
}

void LanguageModelInfo::complete(reports::CardInfo& card) const {
  card.title = "AWD-LSTM language model";
  card.also_not_measured = "the usefulness of generated text";
}

std::shared_ptr<const HeadInfo> read_language_model_info(const StageFields& /*fields*/, const model::Shape& /*shape*/) {
  return std::make_shared<LanguageModelInfo>();
}

}  // namespace ulmfit::stages
