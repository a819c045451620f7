#include "data/file_lists.h"

#include <algorithm>
#include <cstdint>

#include "base/hash.h"

namespace ulmfit::data {
namespace {

using nlohmann::json;

constexpr std::size_t kFirst = 3;

bool is_file(const json& value) {
  return value.is_object() && value.contains("name") && value.contains("bytes") && value.contains("xxh3");
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

bool is_file_summary(const json& value) {
  return value.is_object() && value.size() == 4 && value.contains("files") && value.contains("bytes") &&
         value.contains("list") && value.contains("first");
}

}  // namespace ulmfit::data
