// JSON out of files that nobody vouches for.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace ulmfit {

inline constexpr int kMaxJsonDepth = 512;  // copying, walking and printing a JSON value recurse

// As nlohmann::json::parse, and throws json::exception too for what is nested deeper than kMaxJsonDepth.
nlohmann::json parse_json(std::string_view text);

// A pass over a JSON text for its structure alone (nlohmann::json::sax_parse): values are passed over.
class JsonStructure : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }
};

}  // namespace ulmfit
