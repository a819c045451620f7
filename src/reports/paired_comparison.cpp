#include "reports/paired_comparison.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace ulmfit::reports {
namespace {

constexpr double kZ95 = 1.959963984540054;  // the normal distribution's 97.5 % quantile

// Twice the probability of at most min(b, c) heads among b + c throws of a coin, 1 at most.
double two_sided(std::int64_t b, std::int64_t c) {
  const auto n = static_cast<double>(b + c);
  double sum = 0;
  for (std::int64_t k = 0; k <= std::min(b, c); ++k) {
    const auto heads = static_cast<double>(k);
    sum += std::exp(std::lgamma(n + 1) - std::lgamma(heads + 1) - std::lgamma(n - heads + 1) - n * std::log(2.0));
  }
  return std::min(1.0, 2 * sum);
}

}  // namespace

PairedComparison paired_comparison(const std::vector<bool>& first, const std::vector<bool>& second) {
  if (first.size() != second.size()) throw std::invalid_argument("paired comparison: other numbers of texts");
  PairedComparison result;
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (first[i] && !second[i]) ++result.only_first;
    if (second[i] && !first[i]) ++result.only_second;
  }
  const auto b = static_cast<double>(result.only_first), c = static_cast<double>(result.only_second);
  const auto n = static_cast<double>(first.size());
  result.difference = n > 0 ? (c - b) / n : std::nan("");
  const double reach = kZ95 * std::sqrt(b + c + 1 - (c - b) * (c - b) / (n + 2)) / (n + 2);
  const double middle = (c - b) / (n + 2);
  result.interval = {std::max(-1.0, middle - reach), std::min(1.0, middle + reach)};
  result.p = two_sided(result.only_first, result.only_second);
  return result;
}

}  // namespace ulmfit::reports
