#include "base/json.h"

#include "base/error.h"

namespace ulmfit {
namespace {

using nlohmann::json;

// Parsing itself needs no stack.
class DepthWatch : public JsonStructure {
 public:
  bool start_object(std::size_t) override { return ++depth_ <= kMaxJsonDepth; }
  bool start_array(std::size_t) override { return ++depth_ <= kMaxJsonDepth; }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool key(string_t&) override { return true; }
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
