// A pipeline's stages seen from outside: what they write, and whether it is there.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/ini.h"

namespace ulmfit::commands {

struct StageView {
  std::string name;    // of its command
  std::string output;  // the folder that it writes; empty: none
  bool trains = false;
};

// What it writes is whole.
bool is_done(const StageView& stage);

// One a section, in order. ConfigError naming `file` for a section that is no stage.
std::vector<StageView> view_pipeline(const std::vector<config::IniSection>& sections, const std::string& file);

// The view of FOLDER/pipeline.cfg as `fit` leaves it there, wherever it was called; empty without such a file.
std::vector<StageView> view_fit(const std::filesystem::path& folder);

// "finetune-lm (news/lm)".
std::string told(const StageView& stage);

// What an evaluation has left in the folder `report`; null without one.
nlohmann::json evaluation_in(const std::filesystem::path& report);
// "error 20.70 % (95 % interval 17.03 to 24.92 %) on 401 test texts".
std::string evaluation_text(const nlohmann::json& evaluation);

// How --restart-from calls a stage: by its name, or by its folder where one before it has that name.
std::string restart_name(const std::vector<StageView>& stages, std::size_t number);

}  // namespace ulmfit::commands
