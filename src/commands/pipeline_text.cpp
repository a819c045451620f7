#include "commands/pipeline_text.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/ini.h"
#include "config/option_set.h"
#include "stages/options.h"

namespace ulmfit::commands {
namespace {

// "[section] key", and its values joined, of a pipeline but for device and threads, which may change between two calls.
// Sections of one name are numbered.
std::map<std::string, std::string> settings_of(const std::string& pipeline, const fs::path& file) {
  stages::ComputeOptions compute;
  config::OptionSet set("fit");
  compute.declare(set);
  const std::vector<std::string> may_change = set.keys(config::OnResume::kMayChange);
  std::map<std::string, std::string> settings;
  std::map<std::string, int> numbers;
  for (const config::IniSection& section : config::read_ini(pipeline, file.string())) {
    const int number = ++numbers[section.name];
    for (const auto& [key, value] : section.values) {
      if (std::find(may_change.begin(), may_change.end(), key) != may_change.end()) continue;
      std::string& values = settings[str('[', section.name, ']', number > 1 ? str(" (", number, ")") : "", ' ', key)];
      values += (values.empty() ? "" : " ") + value;
    }
  }
  return settings;
}

// "\n  SETTING: VALUE in the file, VALUE now" for each that is another one.
std::string differences(const std::map<std::string, std::string>& before, const std::map<std::string, std::string>& now) {
  const auto value_in = [](const std::map<std::string, std::string>& settings, const std::string& name) {
    const auto found = settings.find(name);
    return found == settings.end() ? std::string("nothing") : found->second;
  };
  std::map<std::string, std::string> all = before;
  all.insert(now.begin(), now.end());
  std::string text;
  for (const auto& setting : all) {
    const std::string& name = setting.first;
    const std::string old = value_in(before, name), wanted = value_in(now, name);
    if (old != wanted) text += str("\n  ", name, ": ", old, " in the file, ", wanted, " now");
  }
  return text;
}

}  // namespace

void keep_pipeline(const std::string& text, const fs::path& file) {
  if (fs::exists(file)) {
    const std::string there = read_file(file);
    if (config::flat(config::read_ini(there, file.string())) == config::flat(config::read_ini(text, file.string()))) return;
    const std::string changes = differences(settings_of(there, file), settings_of(text, file));
    if (!changes.empty()) {
      throw ConfigError(str(file.string(),
                            " is there and says something else: it was changed, or written with other options:", changes,
                            "\ngo on with it by ulmfit run --config ", file.string(), ", or give another --output"));
    }
    log::info("fit", str("device and threads in ", file.string(), " become those of this call"));
  }
  write_file_atomic(file, text);
}

}  // namespace ulmfit::commands
