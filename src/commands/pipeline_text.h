// A pipeline file that a command goes on with when it is there.
#pragma once

#include <filesystem>
#include <string>

namespace ulmfit::commands {

// Writes the pipeline to `file`, or finds it there, but for device and threads, which are then those of `text`. One that is
// as it was written, and by which nothing was trained yet, is written anew; to another one stages may be added (by a dry
// run they are not). Throws ConfigError naming settings that differ.
void keep_pipeline(const std::string& text, const std::filesystem::path& file, bool dry_run);

}  // namespace ulmfit::commands
