#include "base/json.h"

#include <gtest/gtest.h>

#include <string>

namespace ulmfit {
namespace {

std::string nested(int levels) {
  return std::string(static_cast<std::size_t>(levels), '[') + "1" + std::string(static_cast<std::size_t>(levels), ']');
}

TEST(ParseJson, IsNlohmanns) {
  EXPECT_EQ(parse_json(R"({"a": [1, 2.5, null, "x"]})"), nlohmann::json({{"a", {1, 2.5, nullptr, "x"}}}));
  EXPECT_THROW(parse_json("{"), nlohmann::json::parse_error);
  EXPECT_THROW(parse_json(""), nlohmann::json::parse_error);
}

TEST(ParseJson, RefusesWhatWouldTakeTheStack) {
  EXPECT_EQ(parse_json(nested(kMaxJsonDepth)).dump(), nested(kMaxJsonDepth));
  EXPECT_THROW(parse_json(nested(kMaxJsonDepth + 1)), nlohmann::json::other_error);
  EXPECT_THROW(parse_json(nested(1'000'000)), nlohmann::json::other_error);
}

}  // namespace
}  // namespace ulmfit
