#include "config/option_set.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <sstream>
#include <utility>

#include "base/error.h"

namespace ulmfit::config {
namespace {

std::string number_text(double value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;  // shortest form that reads back the same
  return {buffer, end};
}

template <class Number>
Number parse_number(const std::string& key, const std::string& text, const Limits& limits) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size() && !text.empty();
  if (!whole || !std::isfinite(static_cast<double>(value))) {
    throw ConfigError(str("--", key, "=", text, ": expected ", std::is_integral_v<Number> ? "a whole number" : "a number"));
  }
  const auto as_double = static_cast<double>(value);
  if (as_double < limits.min || as_double > limits.max) {
    std::string range = std::isfinite(limits.min) ? str("at least ", number_text(limits.min)) : "";
    if (std::isfinite(limits.max)) range += str(range.empty() ? "" : " and ", "at most ", number_text(limits.max));
    throw ConfigError(str("--", key, "=", text, ": expected ", range));
  }
  return value;
}

bool parse_bool(const std::string& key, const std::string& text) {
  if (text == "true" || text == "yes" || text == "on" || text == "1") return true;
  if (text == "false" || text == "no" || text == "off" || text == "0") return false;
  throw ConfigError(str("--", key, "=", text, ": expected true or false"));
}

// What stands before the dot of "section.name", else nothing.
std::string_view section_of(std::string_view key) { return key.substr(0, key.find('.') == key.npos ? 0 : key.find('.')); }

}  // namespace

OptionSet::Entry& OptionSet::add_entry(const std::string& key, std::string help, std::string unit, OnResume resume) {
  Entry made;
  made.key = key;
  made.help = std::move(help);
  made.unit = std::move(unit);
  made.resume = resume;
  entries_.push_back(std::move(made));
  return entries_.back();
}

void OptionSet::add(const std::string& key, std::int64_t& variable, std::string help, Limits limits, OnResume resume) {
  Entry& e = add_entry(key, std::move(help), "<number>", resume);
  e.assign = [&variable, key, limits](const auto& v) { variable = parse_number<std::int64_t>(key, v.back(), limits); };
  e.values = [&variable] { return std::vector<std::string>{std::to_string(variable)}; };
  e.default_text = std::to_string(variable);
}

void OptionSet::add(const std::string& key, double& variable, std::string help, Limits limits, OnResume resume) {
  Entry& e = add_entry(key, std::move(help), "<number>", resume);
  e.assign = [&variable, key, limits](const auto& v) { variable = parse_number<double>(key, v.back(), limits); };
  e.values = [&variable] { return std::vector<std::string>{number_text(variable)}; };
  e.default_text = number_text(variable);
}

void OptionSet::add(const std::string& key, bool& variable, std::string help, OnResume resume) {
  Entry& e = add_entry(key, std::move(help), "", resume);
  e.flag = true;
  e.assign = [&variable, key](const auto& v) { variable = parse_bool(key, v.back()); };
  e.values = [&variable] { return std::vector<std::string>{variable ? "true" : "false"}; };
  e.default_text = variable ? "true" : "false";
}

void OptionSet::add(const std::string& key, std::string& variable, std::string help, OnResume resume) {
  Entry& e = add_entry(key, std::move(help), "<text>", resume);
  e.assign = [&variable](const auto& v) { variable = v.back(); };
  e.values = [&variable] { return std::vector<std::string>{variable}; };
  e.default_text = variable;
}

void OptionSet::add(const std::string& key, std::vector<std::string>& variable, std::string help, OnResume resume) {
  Entry& e = add_entry(key, std::move(help), "<text>...", resume);
  e.list = true;
  e.assign = [&variable](const auto& v) { variable = v; };
  e.values = [&variable] { return variable; };
  for (const auto& value : variable) e.default_text += (e.default_text.empty() ? "" : " ") + value;
}

void OptionSet::add(const std::string& key, std::vector<std::int64_t>& variable, std::string help, Limits limits,
                    OnResume resume) {
  Entry& e = add_entry(key, std::move(help), "<number>...", resume);
  e.list = true;
  e.assign = [&variable, key, limits](const auto& v) {
    variable.clear();
    for (const auto& text : v) variable.push_back(parse_number<std::int64_t>(key, text, limits));
  };
  e.values = [&variable] {
    std::vector<std::string> texts;
    texts.reserve(variable.size());
    for (const auto value : variable) texts.push_back(std::to_string(value));
    return texts;
  };
  for (const auto value : variable) e.default_text += (e.default_text.empty() ? "" : " ") + std::to_string(value);
}

void OptionSet::add(const std::string& key, Length& variable, std::string help, Length::Unit bare, Limits limits,
                    OnResume resume) {
  Entry& e = add_entry(key, std::move(help), "<length>", resume);
  e.assign = [&variable, key, bare, limits](const auto& v) {
    Length length;
    try {
      length = parse_length(v.back(), bare);
    } catch (const ConfigError& error) {
      throw ConfigError(str("--", key, "=", v.back(), ": ", error.what()));
    }
    if (length.unit == bare) {
      parse_number<std::int64_t>(key, to_text(length, bare), limits);
    } else if (length.amount == 0) {
      throw ConfigError(str("--", key, "=", v.back(), ": expected more than 0"));
    }
    variable = length;
  };
  e.values = [&variable, bare] { return std::vector<std::string>{to_text(variable, bare)}; };
  e.default_text = to_text(variable, bare);
}

void OptionSet::add_choice(const std::string& key, std::vector<std::string> choices, std::string help, OnResume resume,
                           std::function<void(std::size_t)> assign, std::function<std::string()> name) {
  std::string unit;
  for (const auto& choice : choices) unit += (unit.empty() ? "" : "|") + choice;
  Entry& e = add_entry(key, std::move(help), unit, resume);
  e.default_text = name();
  e.values = [name = std::move(name)] { return std::vector<std::string>{name()}; };
  e.assign = [key, unit, choices = std::move(choices), assign = std::move(assign)](const auto& v) {
    const auto found = std::find(choices.begin(), choices.end(), v.back());
    if (found == choices.end()) {
      throw ConfigError(
          str("--", key, "=", v.back(), ": expected ", unit, " (did you mean ", nearest(v.back(), choices), "?)"));
    }
    assign(static_cast<std::size_t>(found - choices.begin()));
  };
}

void OptionSet::add_alias(const std::string& alias, const std::string& key) {
  entry(key);
  aliases_.emplace_back(alias, key);
}

void OptionSet::require(const std::string& key) { required_.push_back(key); }

void OptionSet::add_common(const std::vector<std::string>& keys) {
  for (const auto& key : keys) common_.push_back(entry(key).key);
}

void OptionSet::add_value_of_older_runs(const std::string& key, std::string value) {
  entry(key);
  const auto is_it = [&](const Entry& e) { return e.key == key; };
  std::find_if(entries_.begin(), entries_.end(), is_it)->older = std::move(value);
}

const OptionSet::Entry& OptionSet::entry(const std::string& key) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
  if (found == entries_.end()) throw std::logic_error("option not declared: " + key);
  return *found;
}

bool OptionSet::reads_config_file() const {
  return std::none_of(entries_.begin(), entries_.end(), [](const Entry& e) { return e.key == "config"; });
}

std::string OptionSet::resolve(const std::string& name) const {
  std::vector<std::string> known;
  for (const auto& e : entries_) {
    if (e.key == name) return name;
    known.push_back(e.key);
  }
  for (const auto& [alias, key] : aliases_) {
    if (alias == name) return key;
    known.push_back(alias);
  }
  const auto of_a_section =
      std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.ends_with("." + name); });
  const std::string meant = of_a_section != known.end() ? *of_a_section : nearest(name, known);
  // Else it would be a riddle.
  const bool near = of_a_section != known.end() || distance(name, meant) <= (name.size() + 1) / 2;
  throw ConfigError(str("ulmfit ", command_, " has no option --", name, near ? str("; did you mean --", meant, "?") : "",
                        " (ulmfit ", command_, " --help all lists all)", elsewhere_.empty() ? "" : "; ", elsewhere_));
}

std::vector<std::string> OptionSet::keys(OnResume resume) const {
  std::vector<std::string> found;
  for (const auto& e : entries_) {
    if (e.resume == resume) found.push_back(e.key);
  }
  return found;
}

void OptionSet::check_no_action(const std::string& file, const std::string& key, const std::string& value) const {
  if (!parse_bool(key, value)) return;
  throw ConfigError(str(file, ": ", key, " = ", value,
                        " asks for an action and is no setting; remove the line, and give --", key,
                        " on the command line if you mean it"));
}

bool OptionSet::given(const std::string& key) const { return std::find(given_.begin(), given_.end(), key) != given_.end(); }

bool OptionSet::has(const std::string& key) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
}

std::vector<std::pair<std::string, std::string>> OptionSet::given_values() const {
  std::vector<std::pair<std::string, std::string>> values;
  for (const auto& e : entries_) {
    if (!given(e.key)) continue;
    for (auto& value : e.values()) values.emplace_back(e.key, std::move(value));
  }
  return values;
}

std::string OptionSet::help(std::string_view introduction, bool all) const {
  constexpr std::size_t kWidth = 98;
  std::size_t hidden = 0;
  std::ostringstream options;
  for (const auto& section : sections()) {
    bool first = true;
    for (const auto& e : entries_) {
      if (section_of(e.key) != section) continue;
      if (!all && !is_common(e.key)) {
        ++hidden;
        continue;
      }
      if (std::exchange(first, false)) options << '\n' << (section.empty() ? "Options:\n" : "[" + section + "]\n");
      options << "  --" << e.key << (e.flag ? "" : "=" + e.unit);
      for (const auto& [alias, key] : aliases_) {
        if (key == e.key) options << ", --" << alias;
      }
      options << '\n';
      std::istringstream words(e.help +
                               (e.default_text.empty() || e.default_text == "false" ? "" : " [" + e.default_text + "]"));
      std::string line = "     ";
      for (std::string word; words >> word;) {
        if (line.size() + word.size() > kWidth) {
          options << line << '\n';
          line = "     ";
        }
        line += ' ' + word;
      }
      options << line << '\n';
    }
  }
  return str("Usage: ulmfit ", command_, reads_config_file() ? " [--config FILE]" : "", " [options]\n\n", introduction,
             '\n', options.str(), hidden == 0 ? "" : str("\n", hidden, " more: ulmfit ", command_, " --help all\n"));
}

std::vector<std::string> OptionSet::sections() const {
  std::vector<std::string> found;
  for (const auto& e : entries_) {
    if (std::find(found.begin(), found.end(), section_of(e.key)) == found.end()) found.emplace_back(section_of(e.key));
  }
  // Keys without a section come first: after a section header they would belong to it.
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.empty() && !b.empty(); });
  return found;
}

bool OptionSet::is_common(const std::string& key) const {
  const auto among = [&](const auto& keys) { return std::find(keys.begin(), keys.end(), key) != keys.end(); };
  return common_.empty() || among(common_) || among(required_);
}

std::string OptionSet::to_config() const {
  std::ostringstream out;
  for (const auto& section : sections()) {
    if (!section.empty()) out << "\n[" << section << "]\n";
    for (const auto& e : entries_) {
      if (section_of(e.key) != section || e.resume == OnResume::kAction) continue;
      const std::string name = section.empty() ? e.key : e.key.substr(section.size() + 1);
      for (const auto& value : e.values()) out << name << " = " << ini_value(value) << '\n';
    }
  }
  return out.str();
}

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
    }
  }
  return row.back();
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  const auto nearer = [&](const std::string& a, const std::string& b) { return distance(word, a) < distance(word, b); };
  const auto found = std::min_element(known.begin(), known.end(), nearer);
  return found == known.end() ? "" : *found;
}

}  // namespace ulmfit::config
