// Boost.Program_options reads, but takes any # for a comment and drops blanks at the ends of a value: values in quotes are
// taken out before and put back after.
#include "config/ini.h"

#include <boost/program_options/parsers.hpp>
#include <charconv>
#include <cstdint>
#include <sstream>
#include <string_view>

#include "base/error.h"

namespace ulmfit::config {
namespace {

namespace po = boost::program_options;

constexpr std::string_view kBlanks = " \t\r\n";
constexpr char kMark = '\x01';  // stands, with a number, for a quoted value

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(kBlanks);
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
}

std::string_view without_comment(std::string_view line) { return trimmed(line.substr(0, line.find('#'))); }

// Reads one file, line by line.
class Reader {
 public:
  Reader(const std::string& text, const std::string& file) : in_(text), file_(file) {}

  std::vector<IniSection> read() {
    std::vector<IniSection> sections(1);
    std::string body;
    const auto finish = [&] { sections.back().values = pairs(std::exchange(body, "")); };
    for (std::string line; std::getline(in_, line);) {
      ++number_;
      const std::string_view bare = without_comment(line);
      if (bare.starts_with('[') && bare.ends_with(']')) {
        finish();
        sections.push_back({std::string(bare.substr(1, bare.size() - 2)), {}});
      } else {
        body += without_quotes(line) + '\n';
      }
    }
    finish();
    if (sections.front().values.empty()) sections.erase(sections.begin());
    return sections;
  }

 private:
  ConfigError failure(const std::string& why) const {
    return ConfigError(str("cannot read config ", file_, ", line ", number_, ": ", why,
                           " (lines are [section] or key = value; in double quotes a value may hold anything)"));
  }

  // The line, with a mark in place of its value if that is quoted.
  std::string without_quotes(const std::string& line) {
    const auto equals = line.find('=');
    if (equals == line.npos || line.find('#') < equals) return line;
    const auto first = line.find_first_not_of(kBlanks, equals + 1);
    if (first == line.npos || line[first] != '"') return line;
    quoted_.push_back(unescaped(line, first + 1));
    return line.substr(0, equals + 1) + kMark + std::to_string(quoted_.size() - 1);
  }

  std::string unescaped(const std::string& line, std::size_t at) const {
    std::string value;
    for (; at < line.size(); ++at) {
      if (line[at] == '"') {
        if (!without_comment(std::string_view(line).substr(at + 1)).empty()) throw failure("text behind a closing quote");
        return value;
      }
      if (line[at] != '\\') {
        value += line[at];
        continue;
      }
      const char escape = ++at < line.size() ? line[at] : ' ';
      if (escape != '"' && escape != '\\' && escape != 'n' && escape != 'r')
        throw failure(str("an unknown escape \\", escape));
      value += escape == 'n' ? '\n' : escape == 'r' ? '\r' : escape;
    }
    throw failure("a quote that is never closed");
  }

  std::vector<std::pair<std::string, std::string>> pairs(const std::string& body) const {
    std::vector<std::pair<std::string, std::string>> values;
    std::istringstream in(body);
    try {
      const po::options_description nothing;
      for (const auto& option : po::parse_config_file(in, nothing, /*allow_unregistered=*/true).options) {
        values.emplace_back(option.string_key, restored(option.value.empty() ? "" : option.value.front()));
      }
    } catch (const po::error& e) {
      throw failure(str("in the section that ends there: ", e.what()));
    }
    return values;
  }

  std::string restored(const std::string& value) const {
    std::size_t index = 0;
    if (!value.starts_with(kMark)) return value;
    const auto [end, error] = std::from_chars(value.data() + 1, value.data() + value.size(), index);
    const bool whole = error == std::errc{} && end == value.data() + value.size();
    return whole && index < quoted_.size() ? quoted_[index] : value;
  }

  std::istringstream in_;
  const std::string& file_;
  std::int64_t number_ = 0;
  std::vector<std::string> quoted_;
};

}  // namespace

std::vector<IniSection> read_ini(const std::string& text, const std::string& file) { return Reader(text, file).read(); }

std::vector<std::pair<std::string, std::string>> flat(const std::vector<IniSection>& sections) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& section : sections) {
    const std::string prefix = section.name.empty() ? "" : section.name + ".";
    for (const auto& [key, value] : section.values) pairs.emplace_back(prefix + key, value);
  }
  return pairs;
}

std::string ini_value(const std::string& value) {
  constexpr std::string_view kSpecial = "#\"\n\r\x01";
  if (trimmed(value) == value && value.find_first_of(kSpecial) == value.npos) return value;
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c == '\n' ? "\\n" : c == '\r' ? "\\r" : std::string(1, c);
  }
  return quoted + '"';
}

}  // namespace ulmfit::config
