// A pipeline file that a command goes on with when it is there.
#pragma once

#include <filesystem>
#include <string>

namespace ulmfit::commands {

// Writes the pipeline to `file`, or finds it there, but for device and threads, which are then those of `text`. Throws
// ConfigError naming each setting that differs.
void keep_pipeline(const std::string& text, const std::filesystem::path& file);

}  // namespace ulmfit::commands
