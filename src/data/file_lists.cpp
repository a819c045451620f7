#include "data/file_lists.h"

#include <algorithm>
#include <cstdint>

#include "base/hash.h"

namespace ulmfit::data {
namespace {

using nlohmann::json;

constexpr std::size_t kFirst = 3;

bool has(const json& value, const char* key, bool (json::*is_type)() const noexcept) {
  const auto found = value.find(key);
  return found != value.end() && ((*found).*is_type)();
}

bool is_file_list(const json& value) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), is_file);
}

json summary(const json& list) {
  std::uint64_t bytes = 0;
  json first = json::array();
  for (const json& file : list) {
    bytes += file.at("bytes").get<std::uint64_t>();
    if (first.size() < kFirst) first.push_back(file.at("name"));
  }
  return {{"files", list.size()}, {"bytes", bytes}, {"list", fingerprint(list.dump())}, {"first", first}};
}

void summarize(json& value, const json::json_pointer& at, json* lists) {
  if (is_file_list(value)) {
    if (lists != nullptr) (*lists)[at.to_string()] = value;
    value = summary(value);
    return;
  }
  if (!value.is_structured()) return;
  for (const auto& item : value.items()) summarize(item.value(), at / item.key(), lists);
}

}  // namespace

json summarize_file_lists(const json& provenance, json* lists) {
  json summarized = provenance;
  if (lists != nullptr) *lists = json::object();
  summarize(summarized, json::json_pointer(), lists);
  return summarized;
}

bool is_file(const json& value) {
  return value.is_object() && has(value, "name", &json::is_string) && has(value, "bytes", &json::is_number_integer) &&
         has(value, "xxh3", &json::is_string);
}

bool is_file_summary(const json& value) {
  return value.is_object() && value.size() == 4 && has(value, "files", &json::is_number_integer) &&
         has(value, "bytes", &json::is_number_integer) && has(value, "list", &json::is_string) &&
         has(value, "first", &json::is_array);
}

}  // namespace ulmfit::data
