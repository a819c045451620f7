// The names of an enum's values, one table a type, beside the type:
//
//   inline constexpr Named<Colour> kColours[] = {{Colour::kRed, "red"}, {Colour::kBlue, "blue"}};
//
// Options, files and messages all take them from there. The order is that in which help and messages list them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ulmfit {

template <class Value>
struct Named {
  Value value;
  std::string_view name;
};

// "red|blue"
template <class Value, std::size_t N>
std::string list_names(const Named<Value> (&table)[N], std::string_view between = "|") {
  std::string names;
  for (const auto& entry : table) names += (names.empty() ? std::string() : std::string(between)).append(entry.name);
  return names;
}

template <class Value, std::size_t N>
constexpr std::string_view name_in(const Named<Value> (&table)[N], const Value& value) {
  for (const auto& entry : table) {
    if (entry.value == value) return entry.name;
  }
  return "unknown";
}

template <class Value, std::size_t N>
constexpr std::optional<Value> value_in(const Named<Value> (&table)[N], std::string_view name) {
  for (const auto& entry : table) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

}  // namespace ulmfit
