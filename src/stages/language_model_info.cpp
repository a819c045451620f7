#include "stages/language_model_info.h"

#include "base/error.h"
#include "model/softmax_head.h"
#include "reports/number_format.h"
#include "stages/softmax_options.h"

namespace ulmfit::stages {

std::unique_ptr<model::Head> LanguageModelInfo::make(const model::AwdLstm& encoder) const {
  return std::make_unique<model::SoftmaxHead>(encoder);
}

void LanguageModelInfo::complete(reports::CardInfo& card) const {
  card.title = "AWD-LSTM language model";
  card.also_not_measured = "the usefulness of generated text";
}

std::string note_of_softmax(const StageInfo& info) {
  if (info.head_info_as<LanguageModelInfo>() == nullptr || info.lineage.empty()) return "";
  const nlohmann::json& facts = info.lineage.back().facts;
  const auto fact = facts.find(kSoftmaxFact);
  if (fact == facts.end() || *fact != name_in(kSoftmaxKinds, SoftmaxKind::kAdaptive)) return "";
  std::string note =
      "trained with an adaptive softmax, and read with the softmax over all words, which is another distribution";
  const auto figure = [&](const char* name) { return reports::significant(info.metrics.at(name), 4); };
  if (info.metrics.contains("adaptive_perplexity") && info.metrics.contains("perplexity")) {
    note += str(": perplexity of the validation text ", figure("adaptive_perplexity"), " and ", figure("perplexity"));
  }
  return note + "; finetune-lm brings it back";
}

std::shared_ptr<const HeadInfo> read_language_model_info(const StageFields& /*fields*/, const model::Shape& /*shape*/) {
  return std::make_shared<LanguageModelInfo>();
}

}  // namespace ulmfit::stages
