// How long something lasts in a training run: "5e" epochs, "10kt" thousand tokens, "200s" steps.
#pragma once

#include <string>
#include <string_view>

namespace ulmfit::config {

struct Length {
  enum class Unit { kEpochs, kTokens, kSteps };
  Unit unit = Unit::kSteps;
  double amount = 0;
  bool operator==(const Length&) const = default;
};

// A number with e (epochs), s (steps), t, kt or Mt (tokens); without any, in `bare`. Steps are whole. Throws ConfigError.
Length parse_length(std::string_view text, Length::Unit bare);

// What parse_length reads back as the same length.
std::string to_text(const Length& length, Length::Unit bare);

}  // namespace ulmfit::config
