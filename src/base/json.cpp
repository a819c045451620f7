#include "base/json.h"

#include "base/error.h"

namespace ulmfit {
namespace {

using nlohmann::json;

// Parsing itself needs no stack.
class DepthWatch : public nlohmann::json_sax<json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return ++depth_ <= kMaxJsonDepth; }
  bool start_array(std::size_t) override { return ++depth_ <= kMaxJsonDepth; }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool key(string_t&) override { return true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }
  bool too_deep() const { return depth_ > kMaxJsonDepth; }

 private:
  int depth_ = 0;
};

}  // namespace

json parse_json(std::string_view text) {
  DepthWatch watch;
  if (!json::sax_parse(text, &watch) && watch.too_deep()) {
    throw json::other_error::create(501, str("nested deeper than ", kMaxJsonDepth, " levels"), nullptr);
  }
  return json::parse(text);
}

}  // namespace ulmfit
