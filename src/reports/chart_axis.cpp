#include "reports/chart_axis.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "reports/number_format.h"

namespace ulmfit::reports {
namespace {

// The smallest of 1, 2, 5 times a power of ten that is not below `least`.
double round_step(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::vector<double> multiples(Range range, double step) {
  const double slack = 1e-9 * step;
  std::vector<double> ticks;
  for (double n = std::ceil((range.low - slack) / step); n * step <= range.high + slack; ++n)
    ticks.push_back(n * step + 0.0);
  return ticks;
}

// 5e-05 -> "5e-5", 0.00012 -> "1.2e-4", 20000 -> "2e4".
std::string power_label(double value) {
  if (value == 0) return "0";
  const int exponent = static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9));
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value / std::pow(10.0, exponent));
  return std::string(text) + "e" + std::to_string(exponent);
}

// How many decimals tell the ticks from each other and show each in full.
int decimals_of(const std::vector<double>& ticks, double unit) {
  for (int decimals = 0; decimals < 6; ++decimals) {
    const double scale = std::pow(10.0, decimals);
    const auto whole = [&](double t) { return std::abs(t / unit * scale - std::round(t / unit * scale)) < 1e-4; };
    if (std::all_of(ticks.begin(), ticks.end(), whole)) return decimals;
  }
  return 6;
}

}  // namespace

std::vector<double> round_ticks(Range range, int most) {
  double step = round_step((range.high - range.low) / most);
  std::vector<double> ticks = multiples(range, step);
  while (static_cast<int>(ticks.size()) > most) ticks = multiples(range, step = round_step(1.5 * step));
  return ticks;
}

std::vector<double> log_ticks(Range range, int most) {
  const int first = static_cast<int>(std::floor(std::log10(range.low)));
  const int last = static_cast<int>(std::ceil(std::log10(range.high)));
  std::vector<double> ticks;
  std::vector<double> powers;
  for (int exponent = first; exponent <= last; ++exponent) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double tick = factor * std::pow(10.0, exponent);
      if (tick < range.low * (1 - 1e-9) || tick > range.high * (1 + 1e-9)) continue;
      ticks.push_back(tick);
      if (factor == 1.0) powers.push_back(tick);
    }
  }
  if (static_cast<int>(ticks.size()) <= most || powers.size() < 2) return ticks;
  const std::size_t stride = (powers.size() + static_cast<std::size_t>(most) - 1) / static_cast<std::size_t>(most);
  std::vector<double> kept;
  for (std::size_t i = 0; i < powers.size(); i += stride) kept.push_back(powers[i]);
  return kept;
}

std::vector<std::string> tick_labels(const std::vector<double>& ticks) {
  double largest = 0;
  double smallest = INFINITY;  // but zero
  for (const double t : ticks) {
    largest = std::max(largest, std::abs(t));
    if (t != 0) smallest = std::min(smallest, std::abs(t));
  }
  const double unit = largest >= 1e6 ? 1e6 : largest >= 1e4 ? 1e3 : 1;
  const std::string suffix = largest >= 1e6 ? "M" : largest >= 1e4 ? "k" : "";
  const bool logarithmic = largest / smallest > 50;  // round_ticks gives no such ticks
  std::vector<std::string> labels;
  for (const double t : ticks) {
    if (largest < 1e-3 || (logarithmic && t < 0.999e-3)) {
      labels.push_back(power_label(t));
    } else if (logarithmic) {
      labels.push_back(t < 1 ? significant(t, 1) : t < 1e4 ? grouped(std::llround(t)) : power_label(t));
    } else if (unit == 1 && largest >= 1000) {
      labels.push_back(grouped(std::llround(t)));
    } else {
      labels.push_back(t == 0 ? "0" : fixed(t / unit, decimals_of(ticks, unit)) + suffix);
    }
  }
  return labels;
}

Range quantile_range(std::vector<double> values, double low, double high) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<std::size_t>(std::llround(share * static_cast<double>(values.size() - 1)))];
  };
  return {at(low), at(high)};
}

Range widened(Range range, double share) {
  double air = share * (range.high - range.low);
  if (air <= 1e-12 * std::max(std::abs(range.low), std::abs(range.high))) air = 0.1 * std::max(std::abs(range.low), 1e-6);
  return {range.low - air, range.high + air};
}

}  // namespace ulmfit::reports
