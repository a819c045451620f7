#include "reports/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace ulmfit::reports {
namespace {

TEST(Calibration, ExpectedErrorByHand) {
  // Two bins of ten: (0.8, 0.9] with mean 0.85 and one of two right, (0.9, 1] with mean 0.95 and both right.
  const std::vector<Confidence> answers{{0.81, true}, {0.89, false}, {0.91, true}, {0.99, true}};
  EXPECT_NEAR(expected_calibration_error(answers, 10), 0.5 * 0.35 + 0.5 * 0.05, 1e-12);
  const auto bins = reliability_bins(answers, 10);
  EXPECT_EQ(bins[8].texts, 2);
  EXPECT_EQ(bins[9].texts, 2);
  EXPECT_DOUBLE_EQ(bins[8].accuracy, 0.5);
  EXPECT_NEAR(bins[8].confidence, 0.85, 1e-12);
  EXPECT_TRUE(std::isnan(expected_calibration_error({}, 10)));
}

TEST(Calibration, ABinHoldsItsUpperEdge) {
  const std::vector<Confidence> edges{{0.0, true}, {0.2, true}, {0.4, true}, {1.0, true}};
  const auto bins = reliability_bins(edges, 5);
  EXPECT_EQ(bins[0].texts, 2);
  EXPECT_EQ(bins[1].texts, 1);
  EXPECT_EQ(bins[4].texts, 1);
}

TEST(Calibration, RejectionByHand) {
  const std::vector<Confidence> answers{{0.4, false}, {0.6, false}, {0.8, true}, {0.9, true}};
  const Rejection none = reject_below(answers, 0);
  EXPECT_DOUBLE_EQ(none.coverage, 1);
  EXPECT_DOUBLE_EQ(none.error, 0.5);
  const Rejection some = reject_below(answers, 0.6);  // the edge is answered
  EXPECT_EQ(some.answered, 3);
  EXPECT_DOUBLE_EQ(some.coverage, 0.75);
  EXPECT_DOUBLE_EQ(some.error, 1.0 / 3);
  EXPECT_DOUBLE_EQ(some.error_interval.low, wilson_interval(1, 3).low);
  EXPECT_TRUE(std::isnan(reject_below(answers, 1).error));
  EXPECT_TRUE(std::isnan(reject_below({}, 0).coverage));
}

// Two classes, all texts with odds r for the first one, a share q of them right: the best T makes r^(1/T) = q / (1 - q).
TEST(Calibration, TheTemperatureIsThatOfTheClosedForm) {
  const double r = 9, q = 0.75;
  std::vector<float> probabilities;
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 400; ++i) {
    probabilities.insert(probabilities.end(), {static_cast<float>(r / (1 + r)), static_cast<float>(1 / (1 + r))});
    labels.push_back(i % 4 == 0 ? 1 : 0);
  }
  const double temperature = fit_temperature(probabilities, 2, labels);
  EXPECT_NEAR(temperature, std::log(r) / std::log(q / (1 - q)), 1e-4);
  const auto raw = confidences(probabilities, 2, labels);
  const auto scaled = confidences(probabilities, 2, labels, temperature);
  EXPECT_EQ(raw[0].probability, static_cast<double>(probabilities[0]));
  EXPECT_FALSE(raw[0].right);
  EXPECT_TRUE(raw[1].right);
  EXPECT_NEAR(scaled[0].probability, q, 1e-5);
  EXPECT_NEAR(expected_calibration_error(raw), 0.9 - q, 1e-6);
  EXPECT_NEAR(expected_calibration_error(scaled), 0, 1e-5);
}

TEST(Calibration, ProbabilitiesOfZeroAndOneStayFinite) {
  const std::vector<float> probabilities{1, 0, 1, 0, 0, 1};
  const std::vector<std::int32_t> labels{0, 1, 1};
  const double temperature = fit_temperature(probabilities, 2, labels);
  EXPECT_TRUE(std::isfinite(temperature));
  EXPECT_GT(temperature, 1);
  for (const Confidence& c : confidences(probabilities, 2, labels, temperature)) EXPECT_TRUE(std::isfinite(c.probability));
  EXPECT_EQ(fit_temperature({}, 2, {}), 1);
}

}  // namespace
}  // namespace ulmfit::reports
