#include "commands/pipeline_text.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "commands/stages_in_order.h"
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

// "\n  SETTING: VALUE in the file, VALUE now" for each that is another one, up to ten: those that stand in both first.
std::string differences(const std::map<std::string, std::string>& before, const std::map<std::string, std::string>& now) {
  constexpr std::size_t kMost = 10;
  std::vector<std::string> lines, of_one;
  for (const auto& [name, old] : before) {
    const auto found = now.find(name);
    if (found == now.end()) {
      of_one.push_back(str("\n  ", name, ": ", old, " in the file, nothing now"));
    } else if (found->second != old) {
      lines.push_back(str("\n  ", name, ": ", old, " in the file, ", found->second, " now"));
    }
  }
  for (const auto& [name, wanted] : now) {
    if (!before.contains(name)) of_one.push_back(str("\n  ", name, ": nothing in the file, ", wanted, " now"));
  }
  lines.insert(lines.end(), of_one.begin(), of_one.end());
  std::string text;
  for (std::size_t i = 0; i < std::min(lines.size(), kMost); ++i) text += lines[i];
  return lines.size() > kMost ? str(text, "\n  and ", lines.size() - kMost, " more") : text;
}

// The sections of before have the settings that they had, and there are others besides.
bool adds_sections(const std::map<std::string, std::string>& before, const std::map<std::string, std::string>& now) {
  const auto section_of = [](const std::string& name) { return name.substr(0, name.rfind(' ')); };
  std::set<std::string> sections;
  for (const auto& setting : before) sections.insert(section_of(setting.first));
  std::map<std::string, std::string> of_these = now;
  std::erase_if(of_these, [&](const auto& setting) { return !sections.contains(section_of(setting.first)); });
  return of_these == before && of_these.size() < now.size();
}

constexpr std::string_view kMark = "\n# as written (by this fit knows whether somebody has changed the file): ";

std::string marked(const std::string& text) { return str(text, kMark, fingerprint(text), '\n'); }

// Nobody has changed it since marked().
bool is_as_written(const std::string& there) {
  const std::size_t mark = there.rfind(kMark);
  return mark != there.npos && marked(there.substr(0, mark)) == there;
}

bool has_trained(const std::string& pipeline, const fs::path& file) {
  for (const config::IniSection& section : config::read_ini(pipeline, file.string())) {
    if (!stage_entry(section.name, file.string()).trains) continue;
    for (const auto& [key, value] : section.values) {
      if (key == "output" && fs::exists(value)) return true;
    }
  }
  return false;
}

}  // namespace

void keep_pipeline(const std::string& text, const fs::path& file, bool dry_run) {
  if (fs::exists(file)) {
    const std::string there = read_file(file);
    if (config::flat(config::read_ini(there, file.string())) == config::flat(config::read_ini(text, file.string()))) return;
    const auto before = settings_of(there, file), now = settings_of(text, file);
    const std::string changes = differences(before, now);
    if (changes.empty()) {
      log::info("fit", str("device and threads in ", file.string(), " become those of this call"));
    } else if (is_as_written(there) && !has_trained(there, file)) {
      log::info("fit", str("nothing was trained by ", file.string(), " yet: it is written anew"));
    } else if (adds_sections(before, now)) {
      log::info("fit", str(dry_run ? "without --dry-run, the stages of --folds would be added to "
                                   : "the stages of --folds are added to ",
                           file.string()));
      if (dry_run) return;
    } else {
      throw ConfigError(
          str(file.string(),
              " is there and says something else: it was changed, or written with other options, or by an older version:",
              changes, "\ngo on with it by ulmfit run --config ", file.string(), ", or give another --output"));
    }
  }
  write_file_atomic(file, marked(text));
}

}  // namespace ulmfit::commands
