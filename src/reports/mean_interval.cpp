#include "reports/mean_interval.h"

#include <cmath>
#include <numbers>
#include <stdexcept>

namespace ulmfit::reports {

double student_cdf(double t, int freedom) {
  if (freedom < 1) throw std::invalid_argument("Student's distribution: no degree of freedom");
  const double theta = std::atan(std::abs(t) / std::sqrt(freedom));
  const double cosine = std::cos(theta), sine = std::sin(theta);
  // Powers of the cosine: odd ones from 1 on for odd degrees, even ones from 0 on for even degrees.
  const bool odd = freedom % 2 == 1;
  double term = odd ? cosine : 1, sum = 0;
  for (int power = odd ? 1 : 0; power <= freedom - 2; power += 2) {
    sum += term;
    term *= cosine * cosine * static_cast<double>(power + 1) / static_cast<double>(power + 2);
  }
  const double within = odd ? 2 / std::numbers::pi * (theta + sine * sum) : sine * sum;  // P(|T| <= |t|)
  return t < 0 ? (1 - within) / 2 : (1 + within) / 2;
}

double student_t95(int freedom) {
  constexpr double kUpper = 0.975;
  double low = 0, high = 13;  // above that of one degree, 12.706
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (student_cdf(middle, freedom) < kUpper ? low : high) = middle;
  }
  return (low + high) / 2;
}

MeanInterval mean_interval(const std::vector<double>& values) {
  MeanInterval result;
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double v : values) sum += v;
  result.mean = values.empty() ? std::nan("") : sum / n;
  result.interval = {result.mean, result.mean};
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double v : values) squares += (v - result.mean) * (v - result.mean);
  result.spread = std::sqrt(squares / (n - 1));
  const double reach = student_t95(static_cast<int>(values.size()) - 1) * result.spread / std::sqrt(n);
  result.interval = {result.mean - reach, result.mean + reach};
  return result;
}

}  // namespace ulmfit::reports
