#include "stages/pipeline_text.h"

#include "base/error.h"

namespace ulmfit::stages {

PipelineText::PipelineText(const std::string& writer, const std::string& folder)
    : text_(str("# Written by ulmfit ", writer, "; ulmfit run --config with this file, from ", folder, ", repeats it.\n")) {
}

void PipelineText::add(const config::IniSection& section, const std::vector<Setting>& chosen) {
  text_ += str("\n[", section.name, "]\n");
  for (const auto& [key, value] : section.values) text_ += str(key, " = ", config::ini_value(value), "\n");
  for (const Setting& s : chosen) {
    text_ += str(s.key, " = ", config::ini_value(s.value), s.reason.empty() ? "" : "  # " + s.reason, "\n");
  }
}

}  // namespace ulmfit::stages
