// A corpus may be made of a million files. The corpus folder keeps their list; all that is made of the corpus later carries
// what stands for the list.
#pragma once

#include <nlohmann/json.hpp>

namespace ulmfit::data {

// `provenance` with each array of files, [{"name", "bytes", "xxh3"}, ...], replaced by {"files": their number, "bytes":
// their sum, "list": checksum of the list, "first": the first three names}. `lists`, if given, gets the arrays themselves,
// by their JSON pointers. What is summarized already stays as it is.
nlohmann::json summarize_file_lists(const nlohmann::json& provenance, nlohmann::json* lists = nullptr);

// Whether the value is the entry of one file, or such a summary.
bool is_file(const nlohmann::json& value);
bool is_file_summary(const nlohmann::json& value);

}  // namespace ulmfit::data
