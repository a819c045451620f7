#include "config/command_line.h"

#include <algorithm>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "base/error.h"

namespace ulmfit::config {
namespace {

namespace po = boost::program_options;

constexpr char kEmpty = '\x01';

po::options_description describe(const std::vector<OptionForm>& forms) {
  po::options_description description;
  for (const OptionForm& form : forms) {
    if (form.list) {
      description.add_options()(form.name.c_str(), po::value<std::vector<std::string>>()->multitoken());
    } else if (form.flag) {
      description.add_options()(form.name.c_str(), po::value<std::string>()->implicit_value("true"));
    } else {
      description.add_options()(form.name.c_str(), po::value<std::string>());
    }
  }
  return description;
}

ConfigError unexpected(const std::string& argument) {
  return ConfigError(str("unexpected argument '", argument, "': options are written --name=value or --name value"));
}

ConfigError no_value(const std::string& name) { return ConfigError(str("--", name, " needs a value: --", name, "=VALUE")); }

}  // namespace

std::vector<std::pair<std::string, std::string>> split_command_line(
    const std::vector<std::string>& arguments, const std::vector<OptionForm>& forms,
    const std::function<void(const std::string&)>& unknown) {
  using namespace po::command_line_style;  // NOLINT(google-build-using-namespace): an enum
  const po::options_description description = describe(forms);
  // Boost takes "--" for the end of the options, and "--=x" for x.
  const auto nameless = std::find_if(arguments.begin(), arguments.end(),
                                     [](const std::string& a) { return a == "--" || a.starts_with("--="); });
  if (nameless != arguments.end()) throw unexpected(*nameless);
  // Boost refuses an empty value behind "=".
  std::vector<std::string> filled = arguments;
  for (std::string& argument : filled) {
    if (argument.starts_with("--") && argument.find('=') == argument.size() - 1) argument += kEmpty;
  }
  std::vector<std::pair<std::string, std::string>> pairs;
  try {
    const auto parsed = po::command_line_parser(filled)
                            .options(description)
                            .style(allow_long | long_allow_adjacent | long_allow_next)
                            .allow_unregistered()
                            .run();
    for (const po::option& option : parsed.options) {
      if (option.position_key >= 0) throw unexpected(option.value.front());
      if (option.unregistered) unknown(option.string_key);
      if (option.value.empty()) pairs.emplace_back(option.string_key, "true");
      const bool adjacent = option.original_tokens.front().find('=') != std::string::npos;
      for (const std::string& value : option.value) {
        // Of an option that does not exist: Boost takes it for a value.
        if (!adjacent && value.starts_with("--")) throw no_value(option.string_key);
        pairs.emplace_back(option.string_key, value.size() == 1 && value[0] == kEmpty ? "" : value);
      }
    }
  } catch (const po::error_with_option_name& e) {
    throw no_value(e.get_option_name().substr(2));
  }
  return pairs;
}

}  // namespace ulmfit::config
