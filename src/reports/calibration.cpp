#include "reports/calibration.h"

#include <algorithm>
#include <cmath>

namespace ulmfit::reports {
namespace {

constexpr double kLargestTemperature = 20;
constexpr double kSmallestProbability = 1e-38;  // of float32

double log_of(float probability) { return std::log(std::max(static_cast<double>(probability), kSmallestProbability)); }

// The logarithm of the sum of p^beta over a row.
double log_sum(std::span<const float> row, double beta) {
  const double largest = beta * log_of(*std::max_element(row.begin(), row.end()));
  double sum = 0;
  for (const float p : row) sum += std::exp(beta * log_of(p) - largest);
  return largest + std::log(sum);
}

double mean_loss(std::span<const float> probabilities, std::size_t classes, std::span<const std::int32_t> labels,
                 double beta) {
  double sum = 0;
  for (std::size_t d = 0; d < labels.size(); ++d) {
    const auto row = probabilities.subspan(d * classes, classes);
    sum += log_sum(row, beta) - beta * log_of(row[static_cast<std::size_t>(labels[d])]);
  }
  return sum / static_cast<double>(labels.size());
}

}  // namespace

std::vector<ReliabilityBin> reliability_bins(std::span<const Confidence> answers, std::size_t bins) {
  std::vector<ReliabilityBin> result(bins);
  for (const Confidence& a : answers) {
    const double place = std::ceil(a.probability * static_cast<double>(bins)) - 1;
    ReliabilityBin& bin = result[static_cast<std::size_t>(std::clamp(place, 0.0, static_cast<double>(bins - 1)))];
    ++bin.texts;
    bin.confidence += a.probability;
    bin.accuracy += a.right ? 1 : 0;
  }
  for (ReliabilityBin& bin : result) {
    if (bin.texts == 0) continue;
    bin.confidence /= static_cast<double>(bin.texts);
    bin.accuracy /= static_cast<double>(bin.texts);
  }
  return result;
}

double expected_calibration_error(std::span<const Confidence> answers, std::size_t bins) {
  if (answers.empty()) return std::nan("");
  double sum = 0;
  for (const ReliabilityBin& bin : reliability_bins(answers, bins)) {
    sum += static_cast<double>(bin.texts) * std::abs(bin.accuracy - bin.confidence);
  }
  return sum / static_cast<double>(answers.size());
}

Rejection reject_below(std::span<const Confidence> answers, double probability) {
  Rejection result;
  std::int64_t wrong = 0;
  for (const Confidence& a : answers) {
    if (a.probability < probability) continue;
    ++result.answered;
    wrong += a.right ? 0 : 1;
  }
  const auto share = [](std::int64_t part, std::size_t whole) {
    return whole == 0 ? std::nan("") : static_cast<double>(part) / static_cast<double>(whole);
  };
  result.coverage = share(result.answered, answers.size());
  result.error = share(wrong, static_cast<std::size_t>(result.answered));
  result.error_interval = wilson_interval(wrong, result.answered);
  return result;
}

double fit_temperature(std::span<const float> probabilities, std::size_t classes, std::span<const std::int32_t> labels) {
  if (labels.empty()) return 1;
  // The loss is convex in beta = 1 / T: golden-section search, which needs no derivative.
  const double golden = (std::sqrt(5.0) - 1) / 2;
  double low = 1 / kLargestTemperature, high = kLargestTemperature;
  const auto loss = [&](double beta) { return mean_loss(probabilities, classes, labels, beta); };
  double left = high - golden * (high - low), right = low + golden * (high - low);
  double left_loss = loss(left), right_loss = loss(right);
  while (high - low > 1e-6) {
    if (left_loss <= right_loss) {
      high = right;
      right = left;
      right_loss = left_loss;
      left = high - golden * (high - low);
      left_loss = loss(left);
    } else {
      low = left;
      left = right;
      left_loss = right_loss;
      right = low + golden * (high - low);
      right_loss = loss(right);
    }
  }
  return 2 / (low + high);
}

bool is_at_bound(double temperature) {
  constexpr double kNear = 1.01;
  return temperature > kLargestTemperature / kNear || temperature < kNear / kLargestTemperature;
}

std::vector<Confidence> confidences(std::span<const float> probabilities, std::size_t classes,
                                    std::span<const std::int32_t> labels, double temperature) {
  std::vector<Confidence> result;
  result.reserve(labels.size());
  for (std::size_t d = 0; d < labels.size(); ++d) {
    const auto row = probabilities.subspan(d * classes, classes);
    const auto best = std::max_element(row.begin(), row.end());
    // As it is at temperature 1, to the last bit.
    const double p = temperature == 1 ? static_cast<double>(*best)
                                      : std::exp(log_of(*best) / temperature - log_sum(row, 1 / temperature));
    result.push_back({p, best - row.begin() == labels[d]});
  }
  return result;
}

}  // namespace ulmfit::reports
