// A pipeline file that a command writes, and goes on with when it is there.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/ini.h"
#include "stages/fit_settings.h"

namespace ulmfit::commands {

// Sections, and the reason behind each value that was chosen.
class PipelineText {
 public:
  void add(const config::IniSection& section, const std::vector<stages::Setting>& chosen = {});
  void say(const std::string& sentence) { text_ += "# " + sentence + "\n"; }
  const std::string& text() const { return text_; }

 private:
  std::string text_ =
      "# Written by ulmfit fit; ulmfit run --config with this file, from where fit was called, repeats it.\n";
};

// Writes the pipeline to `file`, or finds it there, but for device and threads, which are then those of `text`. Throws
// ConfigError naming each setting that differs.
void keep_pipeline(const std::string& text, const std::filesystem::path& file);

}  // namespace ulmfit::commands
