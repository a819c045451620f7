// JSON out of files that nobody vouches for.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace ulmfit {

inline constexpr int kMaxJsonDepth = 512;  // copying, walking and printing a JSON value recurse

// As nlohmann::json::parse, and throws json::exception too for what is nested deeper than kMaxJsonDepth.
nlohmann::json parse_json(std::string_view text);

}  // namespace ulmfit
