#include "reports/number_format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace ulmfit::reports {
namespace {

std::string printed(const char* format, int precision, double value) {
  char text[400];  // the longest double in fixed notation has 309 digits before the point
  const int length = std::snprintf(text, sizeof text, format, precision, value);
  return std::string(text, static_cast<std::size_t>(std::clamp(length, 0, static_cast<int>(sizeof text) - 1)));
}

std::string two_digits(std::int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

}  // namespace

std::string grouped(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

std::string fixed(double value, int decimals) {
  if (std::isnan(value)) return "nan";  // never "-nan"
  return printed("%.*f", decimals, value);
}

std::string significant(double value, int digits) {
  if (!std::isfinite(value) || value == 0) return fixed(value, 0);
  const double size = std::abs(value);
  if (size < 1e-4 || size >= 1e7) return printed("%.*e", digits - 1, value);
  const int whole_digits = static_cast<int>(std::floor(std::log10(size))) + 1;
  return fixed(value, std::max(0, digits - whole_digits));
}

std::string figure(double value) {
  constexpr double kCounted = 1e15;  // below it each whole number is itself
  return value == std::floor(value) && std::abs(value) < kCounted ? fixed(value, 0) : significant(value, 4);
}

std::string percent(double share, int decimals) { return fixed(100 * share, decimals) + (std::isfinite(share) ? "%" : ""); }

std::string per_second(double rate, const std::string& things) {
  return (rate >= 100 && rate < 1e15 ? grouped(std::llround(rate)) : significant(rate, 3)) + " " + things + "/s";
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds)) return fixed(seconds, 0);
  const auto s = static_cast<std::int64_t>(std::clamp(std::round(seconds), 0.0, 1e12));
  if (s < 60) return std::to_string(s) + "s";
  const std::int64_t m = (s + 30) / 60;
  if (m < 60) return std::to_string(m) + "m";
  if (m < std::int64_t{24} * 60) return std::to_string(m / 60) + "h " + two_digits(m % 60) + "m";
  const std::int64_t h = (m + 30) / 60;
  return std::to_string(h / 24) + "d " + two_digits(h % 24) + "h";
}

}  // namespace ulmfit::reports
