// The stages of a pipeline, one after the other, each called as its command would be.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "commands/call.h"
#include "config/ini.h"

namespace ulmfit::commands {

struct StagesOptions {
  std::string file;                                            // of the sections, for messages
  std::size_t anew = std::numeric_limits<std::size_t>::max();  // from this one on those that train begin anew
};

// The command of a section; ConfigError naming `file` when it is no stage.
const Entry& stage_entry(const std::string& section, const std::string& file);

// Reads the options of each section. Throws ConfigError naming file and section.
void check_stages(const std::vector<config::IniSection>& sections, const StagesOptions& options);

// Runs the command of each section, its keys the options; a stage that is done is skipped, one that was interrupted goes
// on. The options of all are read before the first one runs. What came of the first stage that did not end well, or of the
// last. Throws ConfigError naming file and section. Collective.
Outcome run_stages(const std::vector<config::IniSection>& sections, const StagesOptions& options);

}  // namespace ulmfit::commands
