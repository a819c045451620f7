// Typed options with their default and meaning in one place. A struct of options has a declare() that adds each member:
//
//   struct LmOptions {
//     std::int64_t bptt = 70;
//     void declare(OptionSet& set) { set.add("train.bptt", bptt, "tokens of a window", {.min = 1}); }
//   };
//
// The set then reads the command line and a config file into the members (the command line wins), refuses what it does not
// know, prints help, writes the resolved values as a config file that can be fed back, and compares two of those.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/named_values.h"
#include "config/ini.h"
#include "config/length.h"

namespace ulmfit::config {

// Whether a run folder may be continued with another value of the option: never, when the run is extended, until it is
// finished, or always. An action (a flag such as --restart) is no setting: it is not saved, and not taken from a file.
enum class OnResume { kMustMatch, kMayExtend, kBeforeFinish, kMayChange, kAction };

struct Limits {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};

class OptionSet {
 public:
  explicit OptionSet(std::string command) : command_(std::move(command)) {}

  // `key` is "section.name" or "name". The variable must outlive the set and holds the default. Values outside the limits,
  // NaN and infinities are refused at parse time with the limits named.
  void add(const std::string& key, std::int64_t& variable, std::string help, Limits limits = {},
           OnResume resume = OnResume::kMustMatch);
  void add(const std::string& key, double& variable, std::string help, Limits limits = {},
           OnResume resume = OnResume::kMustMatch);
  void add(const std::string& key, bool& variable, std::string help, OnResume resume = OnResume::kMustMatch);
  void add(const std::string& key, std::string& variable, std::string help, OnResume resume = OnResume::kMustMatch);
  // May be given several times; in a config file as several lines.
  void add(const std::string& key, std::vector<std::string>& variable, std::string help,
           OnResume resume = OnResume::kMustMatch);
  void add(const std::string& key, std::vector<std::int64_t>& variable, std::string help, Limits limits = {},
           OnResume resume = OnResume::kMustMatch);
  // A length (length.h); a bare number has the unit `bare`, must be whole, and lies within the limits. In another unit it
  // is above 0.
  void add(const std::string& key, Length& variable, std::string help, Length::Unit bare, Limits limits = {},
           OnResume resume = OnResume::kMustMatch);
  // One value of a table of names (base/named_values.h): of an enum, or of a flag with names for both of its values.
  template <class Value, std::size_t N>
  void add(const std::string& key, Value& variable, const Named<Value> (&names)[N], const std::string& help,
           OnResume resume = OnResume::kMustMatch) {
    const auto assign = [&variable, &names](std::size_t i) { variable = names[i].value; };
    add_choice(key, name_list(names), help, resume, assign,
               [&variable, &names] { return std::string(name_in(names, variable)); });
  }
  // One value of a table, or "auto": none.
  template <class Value, std::size_t N>
  void add(const std::string& key, std::optional<Value>& variable, const Named<Value> (&names)[N], const std::string& help,
           OnResume resume = OnResume::kMustMatch) {
    std::vector<std::string> choices = name_list(names);
    choices.insert(choices.begin(), "auto");
    const auto assign = [&variable, &names](std::size_t i) {
      variable.reset();
      if (i > 0) variable = names[i - 1].value;
    };
    add_choice(key, std::move(choices), help, resume, assign,
               [&variable, &names] { return std::string(variable ? name_in(names, *variable) : "auto"); });
  }
  // `--alias` means `--key`.
  void add_alias(const std::string& alias, const std::string& key);
  void require(const std::string& key);  // parse() refuses a command line without it
  // Where settings are that the set does not have: told with an option that is not known.
  void set_elsewhere(std::string sentence) { elsewhere_ = std::move(sentence); }
  // The options that people change: --help tells of these and of those required, --help all of the others too. Without any,
  // both tell of all.
  void add_common(const std::vector<std::string>& keys);
  // Runs older than the option did what they would do with this value of it: differences() takes it where the saved
  // configuration lacks the key. Every option that is added to a stage from now on says it.
  void add_value_of_older_runs(const std::string& key, std::string value);

  struct Parsed {
    bool help = false;      // --help was given: nothing else was checked
    bool help_all = false;  // as --help all
  };
  // Reads `arguments` (without program and command names), and the file of --config if given, unless the set has an option
  // of its own with that name. Throws ConfigError.
  Parsed parse(std::vector<std::string> arguments);

  std::vector<std::string> keys(OnResume resume) const;

  bool given(const std::string& key) const;  // set by command line or file, not by default
  bool has(const std::string& key) const;
  // The keys that were given and their values, those of a list one by one.
  std::vector<std::pair<std::string, std::string>> given_values() const;

  // The options by section, the common ones alone unless `all`.
  std::string help(std::string_view introduction, bool all) const;

  // The resolved values as a config file.
  std::string to_config() const;

  struct Difference {
    std::string key;
    std::string before;  // several values joined by blanks; "nothing" for none
    std::string now;
    OnResume resume = OnResume::kMustMatch;
    bool by_default = false;  // nobody asked for the value now
  };
  // Keys whose value in `saved` (a text that to_config() wrote) differs from the value now, of those that may not change.
  // So does a key that `saved` lacks, unless its value in older runs is known (of a list: none), and one that this program
  // does not know.
  std::vector<Difference> differences(const std::string& saved) const;

 private:
  template <class Value, std::size_t N>
  static std::vector<std::string> name_list(const Named<Value> (&names)[N]) {
    std::vector<std::string> list;
    for (const auto& entry : names) list.emplace_back(entry.name);
    return list;
  }
  // `assign` gets the number of the choice, `name` gives that of the variable.
  void add_choice(const std::string& key, std::vector<std::string> choices, std::string help, OnResume resume,
                  std::function<void(std::size_t)> assign, std::function<std::string()> name);

  struct Entry {
    std::string key;
    std::string help;
    std::string unit;  // what a value looks like: <number>, <text>, a|b|c
    bool flag = false;
    bool list = false;
    OnResume resume = OnResume::kMustMatch;
    std::string default_text;
    std::optional<std::string> older;  // add_value_of_older_runs
    std::function<void(const std::vector<std::string>&)> assign;
    std::function<std::vector<std::string>()> values;
  };
  Entry& add_entry(const std::string& key, std::string help, std::string unit, OnResume resume);
  const Entry& entry(const std::string& key) const;
  bool reads_config_file() const;
  std::vector<std::string> sections() const;  // in the order of their first keys, "" first
  bool is_common(const std::string& key) const;
  void check_no_action(const std::string& file, const std::string& key, const std::string& value) const;
  std::string resolve(const std::string& name) const;  // alias or key to key; throws with the nearest known one

  std::string command_;
  std::vector<Entry> entries_;
  std::vector<std::pair<std::string, std::string>> aliases_;
  std::vector<std::string> required_;
  std::vector<std::string> common_;
  std::vector<std::string> given_;
  std::string elsewhere_;
};

// The sections of a pipeline file in their order, one a stage: [pretrain] model.hidden = 300 ... Throws ConfigError.
std::vector<IniSection> read_pipeline(const std::filesystem::path& file);

// The closest of `known` to `word` by edit distance.
std::string nearest(std::string_view word, const std::vector<std::string>& known);
// Letters that have to be changed, put in or left out to make one of the other.
std::size_t distance(std::string_view a, std::string_view b);

}  // namespace ulmfit::config
