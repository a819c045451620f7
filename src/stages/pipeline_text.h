// A pipeline file that a command writes.
#pragma once

#include <string>
#include <vector>

#include "config/ini.h"
#include "stages/fit_settings.h"

namespace ulmfit::stages {

// Sections, and the reason behind each value that was chosen.
class PipelineText {
 public:
  // `writer`: the command that writes it; `folder`: that its paths are relative to, in words.
  PipelineText(const std::string& writer, const std::string& folder);

  void add(const config::IniSection& section, const std::vector<Setting>& chosen = {});
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace ulmfit::stages
