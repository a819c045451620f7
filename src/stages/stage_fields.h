// Reads the fields of a stage.json, none of which is trusted: CheckpointError, naming file and field, for a value that no
// training gives; json::exception for a missing field or another type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ulmfit::stages {

inline constexpr std::int64_t kMostWidth = 1 << 20;  // of a layer

class StageFields {
 public:
  // Both must outlive it.
  StageFields(const nlohmann::json& root, const std::filesystem::path& file) : root_(root), file_(file) {}

  const nlohmann::json& root() const { return root_; }

  template <class... What>
  void require(bool holds, const What&... what) const {
    if (!holds) throw CheckpointError(str("cannot read stage ", file_.string(), ": ", what...));
  }

  std::int64_t whole(const nlohmann::json& in, const std::string& key, std::int64_t min, std::int64_t max) const {
    const nlohmann::json& value = in.at(key);
    const bool integer =
        value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX);
    const std::int64_t n = integer ? value.get<std::int64_t>() : min - 1;
    require(n >= min && n <= max, key, " is ", value.dump(), ", expected ", min, " to ", max);
    return n;
  }

  // The place in `names` of the field's value.
  std::size_t choice(const std::string& key, std::span<const std::string_view> names) const {
    const nlohmann::json& value = root_.at(key);
    std::string expected;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (value == names[i]) return i;
      expected += str(i == 0 ? "" : " or ", names[i]);
    }
    throw CheckpointError(
        str("cannot read stage ", file_.string(), ": ", key, " is ", value.dump(), ", expected ", expected));
  }

 private:
  const nlohmann::json& root_;
  const std::filesystem::path& file_;
};

}  // namespace ulmfit::stages
