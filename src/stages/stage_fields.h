// Reads the fields of a stage.json, none of which is trusted: CheckpointError, naming file and field, for a value that no
// training gives; json::exception for a missing field or another type.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "model/shape.h"

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

  // Whether it is the second.
  bool choice(const std::string& key, const char* first, const char* second) const {
    const nlohmann::json& value = root_.at(key);
    require(value == first || value == second, key, " is ", value.dump(), ", expected ", first, " or ", second);
    return value == second;
  }

 private:
  const nlohmann::json& root_;
  const std::filesystem::path& file_;
};

}  // namespace ulmfit::stages
