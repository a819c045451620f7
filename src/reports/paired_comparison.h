// Two classifiers on the same texts: is one of them better, or do they differ by chance?
#pragma once

#include <cstdint>
#include <vector>

#include "reports/classification_metrics.h"

namespace ulmfit::reports {

struct PairedComparison {
  std::int64_t only_first = 0;   // texts that the first alone answers rightly
  std::int64_t only_second = 0;  // the second alone
  double difference = 0;         // error of the first less that of the second; NaN without texts
  Interval interval;  // of the difference, 95 %: Agresti and Min 2005, half a text added to each of the four cells
  double p = 1;       // McNemar's test, exact: how probable a split as uneven as this is if none is better
};

// Whether each answers each text rightly. Throws std::invalid_argument for lists of other lengths.
PairedComparison paired_comparison(const std::vector<bool>& first, const std::vector<bool>& second);

}  // namespace ulmfit::reports
