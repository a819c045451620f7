// The axes of a chart: what range of the data to show, where the ticks are and what stands beside them.
#pragma once

#include <string>
#include <vector>

namespace ulmfit::reports {

struct Range {
  double low = 0;
  double high = 1;
};

// Multiples of 1, 2 or 5 times a power of ten inside the range, as many as fit but at most `most` (two or more).
std::vector<double> round_ticks(Range range, int most);

// 1, 2 and 5 times powers of ten inside the range, only the powers (or each second, third ... of them) if those are more
// than `most`. 0 < low < high.
std::vector<double> log_ticks(Range range, int most);

// One label a tick, alike in decimals: "0.5", "4,000", "20k", "1.5M", "2e-5".
std::vector<std::string> tick_labels(const std::vector<double>& ticks);

// From the share `low` to the share `high` of the values by size; [0, 1] without values. No value may be NaN.
Range quantile_range(std::vector<double> values, double low, double high);

// With some air at both ends. A range of one value gets width around it.
Range widened(Range range, double share);

}  // namespace ulmfit::reports
