// Whether an output folder holds what was asked for already.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace ulmfit::data_prep {

// True when `output` already holds the corpora (`corpora`: folders in it, "." for itself), each whole and with `request`
// (the inputs and options) in its provenance. False when it is absent or empty. Throws DataError when it holds anything
// else, naming the parts of the request that differ.
bool already_prepared(const std::filesystem::path& output, const std::vector<std::string>& corpora,
                      const nlohmann::json& request);

}  // namespace ulmfit::data_prep
