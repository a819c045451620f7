// The mean of runs that differ in their seed alone, and how far it can be trusted.
#pragma once

#include <vector>

#include "reports/classification_metrics.h"

namespace ulmfit::reports {

// P(T <= t) of Student's distribution with `freedom` degrees, 1 or more: the finite sums of Abramowitz and Stegun,
// "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
double student_cdf(double t, int freedom);

// The t that P(|T| <= t) = 0.95 holds for: 12.706 with one degree of freedom, 1.960 with very many.
double student_t95(int freedom);

struct MeanInterval {
  double mean = 0;    // NaN without values
  double spread = 0;  // standard deviation of the values, n - 1; 0 of one
  Interval interval;  // 95 %, mean -+ t spread / sqrt(n); of one value that value
};
MeanInterval mean_interval(const std::vector<double>& values);

}  // namespace ulmfit::reports
