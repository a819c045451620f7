#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string_view>

#include "base/error.h"

namespace ulmfit::optim {
namespace {

// A share such as 0.29 lies a little below its decimal value, so that 100 * 0.29 must not round down to 28.
constexpr double kRoundingGuard = 1e-9;

// The step from which the rate falls.
double cut_of(const ScheduleOptions& options, std::int64_t T) {
  return std::max(1.0, std::floor(static_cast<double>(T) * options.cut_frac + kRoundingGuard));
}

double slanted_triangular(const ScheduleOptions& options, std::int64_t t, std::int64_t T) {
  const auto steps = static_cast<double>(T);
  const double cut = cut_of(options, T);
  const auto now = static_cast<double>(t);
  const double p = now < cut ? now / cut : (steps - now) / (steps - cut);
  return (1 + p * (options.ratio - 1)) / options.ratio;
}

double cosine(double from, double to, double position) {
  return from + (1 - std::cos(std::numbers::pi * position)) * (to - from) / 2;
}

double reverse_annealing(const ScheduleOptions& options, std::int64_t t, std::int64_t T) {
  const double cut = cut_of(options, T);
  const auto now = static_cast<double>(t);
  return now < cut ? cosine(0, 1, now / cut) : cosine(1, 0, (now - cut) / (static_cast<double>(T) - cut));
}

// From `first` over `middle` at `turn` to `last`, both ways by half a cosine.
double two_cosines(double pct, double turn, double first, double middle, double last) {
  return pct < turn ? cosine(first, middle, pct / turn) : cosine(middle, last, (pct - turn) / (1 - turn));
}

void require(bool holds, std::string_view name, double value, std::string_view range) {
  if (holds) return;
  throw ConfigError(
      str("the schedule's ", name, " is ", value, ", but must be ", range, "; correct it in the configuration"));
}

}  // namespace

void check_options(const ScheduleOptions& o) {
  // Written so that NaN fails every one of them.
  require(o.cut_frac > 0 && o.cut_frac <= 1, "cut_frac", o.cut_frac, "above 0 and at most 1");
  require(o.ratio >= 1 && std::isfinite(o.ratio), "ratio", o.ratio, "1 or more");
  require(o.pct_start > 0 && o.pct_start < 1, "pct_start", o.pct_start, "between 0 and 1");
  require(o.div >= 1 && std::isfinite(o.div), "div", o.div, "1 or more");
  require(o.div_final >= 1 && std::isfinite(o.div_final), "div_final", o.div_final, "1 or more");
  require(o.momentum_high >= 0 && o.momentum_high < 1, "momentum_high", o.momentum_high, "at least 0 and below 1");
  require(o.momentum_low >= 0 && o.momentum_low < 1, "momentum_low", o.momentum_low, "at least 0 and below 1");
}

Rate rate_at(const ScheduleOptions& options, std::int64_t t, std::int64_t T) {
  if (t < 0 || t >= T) throw std::out_of_range(str("rate_at: step ", t, " is outside a phase of ", T, " steps"));
  switch (options.kind) {
    case ScheduleKind::kSlantedTriangular:
      return {slanted_triangular(options, t, T), std::nullopt};
    case ScheduleKind::kOneCycle: {
      const double pct = static_cast<double>(t) / static_cast<double>(T);
      return {two_cosines(pct, options.pct_start, 1 / options.div, 1, 1 / options.div_final),
              two_cosines(pct, options.pct_start, options.momentum_high, options.momentum_low, options.momentum_high)};
    }
    case ScheduleKind::kConstant:
      return {1, std::nullopt};
    case ScheduleKind::kLinear:
      return {static_cast<double>(T - t) / static_cast<double>(T), std::nullopt};
    case ScheduleKind::kCosine:
      return {cosine(1, 0, static_cast<double>(t) / static_cast<double>(T)), std::nullopt};
    case ScheduleKind::kReverseAnnealing:
      return {reverse_annealing(options, t, T), std::nullopt};
    case ScheduleKind::kExponential:
      return {T == 1 ? 1 : std::pow(options.ratio, static_cast<double>(t) / static_cast<double>(T - 1) - 1), std::nullopt};
  }
  throw std::invalid_argument("rate_at: unknown schedule kind");
}

}  // namespace ulmfit::optim
