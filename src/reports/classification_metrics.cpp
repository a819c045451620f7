#include "reports/classification_metrics.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/error.h"

namespace ulmfit::reports {
namespace {

constexpr double kZ95 = 1.959963984540054;  // the normal distribution's 97.5 % quantile

double share(std::int64_t part, std::int64_t whole, double without) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : without;
}

void check_matrix(const ConfusionMatrix& confusion) {
  for (const auto& row : confusion) {
    if (row.size() != confusion.size()) {
      throw std::invalid_argument(str("confusion matrix: ", confusion.size(), " rows, but a row of ", row.size()));
    }
    if (std::any_of(row.begin(), row.end(), [](std::int64_t n) { return n < 0; })) {
      throw std::invalid_argument("confusion matrix: a negative count");
    }
  }
}

}  // namespace

ClassificationMetrics classification_metrics(const ConfusionMatrix& confusion) {
  check_matrix(confusion);
  ClassificationMetrics f;
  f.classes.resize(confusion.size());
  for (std::size_t given = 0; given < confusion.size(); ++given) {
    for (std::size_t predicted = 0; predicted < confusion.size(); ++predicted) {
      f.classes[given].support += confusion[given][predicted];
      f.classes[predicted].predicted += confusion[given][predicted];
    }
    f.texts += f.classes[given].support;
    f.hits += confusion[given][given];
  }
  std::int64_t seen = 0;
  double f1_sum = 0;
  for (std::size_t c = 0; c < confusion.size(); ++c) {
    ClassMetrics& metrics = f.classes[c];
    const std::int64_t hits = confusion[c][c];
    metrics.precision = share(hits, metrics.predicted, 0);
    metrics.recall = share(hits, metrics.support, 0);
    metrics.f1 = share(2 * hits, metrics.support + metrics.predicted, 0);
    f1_sum += metrics.f1;
    if (metrics.support + metrics.predicted > 0) ++seen;
  }
  f.accuracy = share(f.hits, f.texts, std::nan(""));
  f.error = share(f.texts - f.hits, f.texts, std::nan(""));
  f.macro_f1 = seen > 0 ? f1_sum / static_cast<double>(seen) : std::nan("");
  f.accuracy_interval = wilson_interval(f.hits, f.texts);
  return f;
}

Interval wilson_interval(std::int64_t hits, std::int64_t trials) {
  if (trials <= 0) return {};
  const auto n = static_cast<double>(trials);
  const double p = static_cast<double>(hits) / n;
  const double z2 = kZ95 * kZ95;
  const double middle = p + z2 / (2 * n);
  const double reach = kZ95 * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {std::max(0.0, (middle - reach) / (1 + z2 / n)), std::min(1.0, (middle + reach) / (1 + z2 / n))};
}

}  // namespace ulmfit::reports
