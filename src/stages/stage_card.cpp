#include "stages/stage_card.h"

#include <sstream>

#include "base/machine.h"

namespace ulmfit::stages {

std::string stage_card(const StageInfo& info, const std::string& config_text) {
  std::ostringstream out;
  const bool lm = info.kind == StageKind::kLanguageModel;
  out << "# " << (lm ? "AWD-LSTM language model" : "AWD-LSTM text classifier") << "\n\n"
      << "Direction: " << (info.backward ? "backward" : "forward") << ". Vocabulary: " << info.shape.vocabulary
      << " words. Embedding " << info.shape.embedding << ", hidden " << info.shape.hidden << ", " << info.shape.layers
      << " layers; " << info.shape.encoder_parameters() << " parameters in the encoder.\n";
  if (info.classifier) {
    out << "\nClasses:";
    for (const auto& label : info.classifier->labels)
      out << ' ' << label << (&label == &info.classifier->labels.back() ? ".\n" : ",");
  }
  out << "\n## Lineage, oldest first\n\n";
  for (const auto& a : info.lineage) {
    out << "- `" << a.command << "`"
        << (a.fingerprint.empty() ? std::string(" (this stage)") : " (weights " + a.fingerprint + ")") << '\n';
    for (const auto& [key, value] : a.facts.items()) {
      out << "  - " << key << ": " << (value.is_string() ? value.get<std::string>() : value.dump()) << '\n';
    }
  }
  out << "\n## Figures on the validation split\n\n";
  for (const auto& [key, value] : info.figures) out << "- " << key << ": " << value << '\n';
  if (info.figures.empty()) out << "None: there was no validation split.\n";
  out << "\nNot measured: results on other text than the validation split, other languages, fairness between groups of "
         "authors"
      << (lm ? ", the usefulness of generated text" : ", calibration of the probabilities") << ".\n"
      << "\nMade on: " << cpu_model() << ".\n\n## Configuration\n\n```\n"
      << config_text << "```\n";
  return out.str();
}

}  // namespace ulmfit::stages
