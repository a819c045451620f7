// Whether an output folder may be written, and holds what was asked for already.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ulmfit::data_prep {

// True when `output` already holds the corpora (`corpora`: folders in it, "." for itself), each whole and with `request`
// (the inputs and options) in its provenance. False when it is absent or empty. Throws DataError when it holds anything
// else, naming the parts of the request that differ.
bool already_prepared(const std::filesystem::path& output, const std::vector<std::string>& corpora,
                      const nlohmann::json& request);

// What is to be prepared: `request(true)`; none where `output` holds it already, which is logged. `request(with_files)`:
// with the checksums of all files, or with the options alone, which must do where the text of a prepared folder has gone
// since: all of `inputs` (some may be empty), whose names must be those that it was prepared from. Throws as
// already_prepared and `request` do.
std::optional<nlohmann::json> what_to_prepare(const std::filesystem::path& output, const std::vector<std::string>& corpora,
                                              const std::vector<std::filesystem::path>& inputs,
                                              const std::function<nlohmann::json(bool with_files)>& request);

// Throws ConfigError if `output` is one of the folders among `inputs`, or lies below one: what is made there would be read.
// Empty inputs, and files, are passed over.
void require_apart(const std::filesystem::path& output, const std::vector<std::filesystem::path>& inputs);

}  // namespace ulmfit::data_prep
