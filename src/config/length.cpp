#include "config/length.h"

#include <charconv>
#include <cmath>
#include <cstdint>

#include "base/error.h"

namespace ulmfit::config {
namespace {

struct Suffix {
  std::string_view text;
  Length::Unit unit;
  double factor;
};

constexpr Suffix kSuffixes[] = {{"e", Length::Unit::kEpochs, 1},
                                {"s", Length::Unit::kSteps, 1},
                                {"t", Length::Unit::kTokens, 1},
                                {"kt", Length::Unit::kTokens, 1e3},
                                {"Mt", Length::Unit::kTokens, 1e6}};
// Whole numbers up to here are exact in a double.
constexpr double kMost = 9e15;

}  // namespace

Length parse_length(std::string_view text, Length::Unit bare) {
  const auto refuse = [&](std::string_view why) {
    return ConfigError(str("'", text, "' is not a length: expected ", why));
  };
  constexpr std::string_view kForms = "a number alone or with e (epochs), s (steps), t, kt or Mt (tokens)";
  Length length{bare, 0};
  // Without exponents: "5e" is five epochs, not half of a number.
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), length.amount, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(length.amount) || length.amount < 0) throw refuse(kForms);
  const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (!rest.empty()) {
    const Suffix* found = nullptr;
    for (const Suffix& suffix : kSuffixes) {
      if (suffix.text == rest) found = &suffix;
    }
    if (found == nullptr) throw refuse(kForms);
    length = {found->unit, length.amount * found->factor};
  }
  if (length.amount > kMost) throw refuse("at most 9e15");
  if (length.unit == Length::Unit::kSteps && length.amount != std::floor(length.amount))
    throw refuse("a whole number of steps");
  return length;
}

std::string to_text(const Length& length, Length::Unit bare) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, length.amount, std::chars_format::fixed).ptr;
  std::string text(buffer, end);
  if (length.unit == bare) return text;
  return text + (length.unit == Length::Unit::kEpochs ? "e" : length.unit == Length::Unit::kSteps ? "s" : "t");
}

}  // namespace ulmfit::config
