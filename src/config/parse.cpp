// Reading of command lines and config files.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "config/command_line.h"
#include "config/ini.h"
#include "config/option_set.h"

namespace ulmfit::config {
namespace {

using Values = std::map<std::string, std::vector<std::string>>;

std::vector<IniSection> read_ini_file(const std::filesystem::path& path) {
  std::string text;
  try {
    text = read_file(path);
  } catch (const FileError& e) {
    throw ConfigError(str("cannot open config file ", path.string(), "; check --config (", e.what(), ")"));
  }
  return read_ini(text, path.string());
}

// What is given is kept in JSON, in reports and config files.
void require_utf8(const std::string& key, const std::string& value) {
  try {
    static_cast<void>(nlohmann::json(value).dump());
  } catch (const nlohmann::json::type_error&) {
    throw ConfigError(
        str("--", key, ": its value is not UTF-8; is the terminal, or the config file, in another encoding?"));
  }
}

}  // namespace

OptionSet::Parsed OptionSet::parse(std::vector<std::string> arguments) {
  const auto is_help = [](const std::string& argument) { return argument == "--help" || argument == "-h"; };
  if (const auto help = std::find_if(arguments.begin(), arguments.end(), is_help); help != arguments.end()) {
    return {.help = true, .help_all = help + 1 != arguments.end() && help[1] == "all"};
  }
  if (std::find(arguments.begin(), arguments.end(), "--help=all") != arguments.end()) {
    return {.help = true, .help_all = true};
  }
  std::vector<OptionForm> forms;
  if (reads_config_file()) forms.push_back({"config"});
  std::set<std::string> lists;
  const auto add_form = [&](const std::string& name, const Entry& e) {
    forms.push_back({name, e.flag, e.list});
    if (e.list) lists.insert(name);
  };
  for (const auto& e : entries_) add_form(e.key, e);
  for (const auto& [alias, key] : aliases_) add_form(alias, entry(key));

  Values values;
  std::string config_file;
  for (const auto& [name, value] : split_command_line(arguments, forms, [&](const std::string& name) { resolve(name); })) {
    if (name == "config" && reads_config_file()) {
      config_file = value;
      continue;
    }
    auto& list = values[resolve(name)];
    if (!list.empty() && !lists.contains(name)) throw ConfigError(str("--", name, " is given twice"));
    list.push_back(value);
  }
  if (!config_file.empty()) {
    Values from_file;
    for (const auto& [name, value] : flat(read_ini_file(config_file))) {
      const std::string key = resolve(name);
      if (entry(key).resume == OnResume::kAction) {
        check_no_action(config_file, key, value);
        continue;
      }
      auto& list = from_file[key];
      if (!list.empty() && !lists.contains(name)) throw ConfigError(str(config_file, ": ", name, " is given twice"));
      list.push_back(value);
    }
    values.merge(from_file);  // what the command line gave stays
  }
  for (const auto& e : entries_) {
    const auto found = values.find(e.key);
    if (found == values.end()) continue;
    for (const auto& value : found->second) require_utf8(e.key, value);
    e.assign(found->second);
    given_.push_back(e.key);
  }
  for (const auto& key : required_) {
    if (!given(key)) throw ConfigError(str("ulmfit ", command_, " needs --", key, ": ", entry(key).help));
  }
  return {};
}

std::vector<OptionSet::Difference> OptionSet::differences(const std::string& saved) const {
  Values before;
  for (const auto& [key, value] : flat(read_ini(saved, "saved in the run folder"))) before[key].push_back(value);
  const auto joined = [](const std::vector<std::string>& list) {
    std::string text;
    for (const auto& value : list) text += (text.empty() ? "" : " ") + value;
    return text.empty() ? std::string("nothing") : text;
  };
  // A list without values is not in the file. Any other key that it lacks is an option that came later.
  const auto value_before = [&](const Entry& e) {
    if (before.contains(e.key)) return joined(before.at(e.key));
    if (e.older) return joined({*e.older});
    return e.list ? joined({}) : "nothing (the run is older than the option)";
  };
  std::vector<Difference> found;
  for (const auto& e : entries_) {
    if (e.resume == OnResume::kMayChange || e.resume == OnResume::kAction) continue;
    const auto old = value_before(e);
    const auto now = joined(e.values());
    if (old != now) found.push_back({e.key, old, now, e.resume, !given(e.key)});
  }
  for (const auto& item : before) {
    const std::string& key = item.first;
    const bool known = std::any_of(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
    if (!known)
      found.push_back({key, joined(item.second), "nothing (this program has no such option)", OnResume::kMustMatch});
  }
  return found;
}

std::vector<IniSection> read_pipeline(const std::filesystem::path& file) {
  std::vector<IniSection> sections = read_ini_file(file);
  if (!sections.empty() && sections.front().name.empty()) {
    throw ConfigError(
        str(file.string(), ": ", sections.front().values.front().first, " stands before the first [section]"));
  }
  return sections;
}

}  // namespace ulmfit::config
