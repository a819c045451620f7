#include "reports/classification_metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace ulmfit::reports {
namespace {

TEST(ClassificationMetrics, ByHand) {
  // 3 classes, 10 texts: hits 3 + 2 + 1.
  const auto f = classification_metrics({{3, 1, 0}, {1, 2, 1}, {0, 1, 1}});
  EXPECT_EQ(f.texts, 10);
  EXPECT_EQ(f.hits, 6);
  EXPECT_DOUBLE_EQ(f.accuracy, 0.6);
  EXPECT_DOUBLE_EQ(f.error, 0.4);
  EXPECT_DOUBLE_EQ(f.classes[0].precision, 3.0 / 4);
  EXPECT_DOUBLE_EQ(f.classes[0].recall, 3.0 / 4);
  EXPECT_DOUBLE_EQ(f.classes[1].precision, 2.0 / 4);
  EXPECT_DOUBLE_EQ(f.classes[1].recall, 2.0 / 4);
  EXPECT_DOUBLE_EQ(f.classes[2].precision, 1.0 / 2);
  EXPECT_DOUBLE_EQ(f.classes[2].recall, 1.0 / 2);
  EXPECT_DOUBLE_EQ(f.macro_f1, (0.75 + 0.5 + 0.5) / 3);
  EXPECT_EQ(f.classes[1].support, 4);
  EXPECT_EQ(f.classes[1].predicted, 4);
}

TEST(ClassificationMetrics, PrecisionAndRecallAreNotSwapped) {
  const auto f = classification_metrics({{8, 2}, {0, 0}});
  EXPECT_DOUBLE_EQ(f.classes[0].precision, 1.0);  // all 8 predicted so are right
  EXPECT_DOUBLE_EQ(f.classes[0].recall, 0.8);     // 2 of 10 were missed
  EXPECT_DOUBLE_EQ(f.classes[0].f1, 16.0 / 18);
  EXPECT_DOUBLE_EQ(f.classes[1].precision, 0);
  EXPECT_DOUBLE_EQ(f.classes[1].recall, 0);
}

TEST(ClassificationMetrics, CorrelationByHand) {
  // Of two classes (TP TN - FP FN) / sqrt of the product of the margins.
  EXPECT_NEAR(classification_metrics({{6, 2}, {1, 3}}).mcc, (6.0 * 3 - 2.0 * 1) / std::sqrt(8.0 * 4 * 7 * 5), 1e-12);
  EXPECT_DOUBLE_EQ(classification_metrics({{5, 0, 0}, {0, 3, 0}, {0, 0, 2}}).mcc, 1);
  EXPECT_DOUBLE_EQ(classification_metrics({{4, 0}, {3, 0}}).mcc, 0);  // always the first
  // Three classes: (c s - sum t p) / sqrt((s^2 - sum p^2) (s^2 - sum t^2)) = (60 - 36) / sqrt((100 - 36) (100 - 36)).
  EXPECT_NEAR(classification_metrics({{3, 1, 0}, {1, 2, 1}, {0, 1, 1}}).mcc, 24.0 / 64, 1e-12);
}

TEST(ResampledIntervals, ASmallClassThatIsNeverFoundStaysInEachResample) {
  const Interval interval = resampled_intervals({{98, 0}, {2, 0}}).macro_f1;
  const double f1 = classification_metrics({{98, 0}, {2, 0}}).macro_f1;  // one class always found, the other never
  EXPECT_DOUBLE_EQ(interval.low, f1);
  EXPECT_DOUBLE_EQ(interval.high, f1);
}

TEST(ResampledIntervals, HoldTheFigureAndShrinkWithMoreTexts) {
  const ConfusionMatrix few{{30, 10}, {5, 55}};
  const ConfusionMatrix many{{3000, 1000}, {500, 5500}};
  const ResampledIntervals a = resampled_intervals(few), b = resampled_intervals(many);
  const ClassificationMetrics f = classification_metrics(few);
  EXPECT_LT(a.macro_f1.low, f.macro_f1);
  EXPECT_GT(a.macro_f1.high, f.macro_f1);
  EXPECT_LT(a.mcc.low, f.mcc);
  EXPECT_GT(a.mcc.high, f.mcc);
  // By a factor of 10: the square root of the texts.
  EXPECT_NEAR((a.mcc.high - a.mcc.low) / (b.mcc.high - b.mcc.low), 10, 1);
  // Of accuracy-like figures the normal approximation is near: here macro F1 of two classes of known variance by Wilson's
  // interval of accuracy, within a third.
  const Interval accuracy = f.accuracy_interval;
  EXPECT_NEAR((a.macro_f1.high - a.macro_f1.low) / (accuracy.high - accuracy.low), 1, 0.33);
  EXPECT_EQ(resampled_intervals(few).mcc.low, a.mcc.low);
  EXPECT_EQ(resampled_intervals({{7, 0}, {0, 3}}).mcc.high, 1);
  EXPECT_TRUE(std::isnan(resampled_intervals({{0, 0}, {0, 0}}).mcc.low));
}

TEST(ClassificationMetrics, F1IsTheHarmonicMean) {
  const auto f = classification_metrics({{5, 3, 1}, {2, 7, 4}, {6, 0, 9}});
  for (const ClassMetrics& c : f.classes) {
    EXPECT_DOUBLE_EQ(c.f1, 2 * c.precision * c.recall / (c.precision + c.recall));
  }
}

TEST(ClassificationMetrics, AClassNeitherGivenNorPredictedDoesNotCountForTheMean) {
  EXPECT_DOUBLE_EQ(classification_metrics({{4, 0, 0}, {0, 6, 0}, {0, 0, 0}}).macro_f1, 1.0);
  EXPECT_DOUBLE_EQ(classification_metrics({{4, 0, 0}, {0, 5, 1}, {0, 0, 0}}).macro_f1, (1 + 10.0 / 11 + 0) / 3);
}

TEST(ClassificationMetrics, NothingSeenIsNotANumber) {
  const auto f = classification_metrics({{0, 0}, {0, 0}});
  EXPECT_TRUE(std::isnan(f.accuracy) && std::isnan(f.error) && std::isnan(f.macro_f1));
  EXPECT_EQ(f.accuracy_interval.low, 0);
  EXPECT_EQ(f.accuracy_interval.high, 1);
  EXPECT_EQ(classification_metrics({}).texts, 0);
}

TEST(ClassificationMetrics, RefusesWhatIsNoMatrixOfCounts) {
  EXPECT_THROW(classification_metrics({{1, 2}, {3}}), std::invalid_argument);
  EXPECT_THROW(classification_metrics({{1, 2, 3}, {3, 4, 5}}), std::invalid_argument);
  EXPECT_THROW(classification_metrics({{1, -1}, {0, 1}}), std::invalid_argument);
}

TEST(WilsonInterval, ClosedForms) {
  const double z2 = 3.841458820694124;  // the 95 % quantile of chi-squared with one degree of freedom
  const Interval none = wilson_interval(0, 10);
  EXPECT_DOUBLE_EQ(none.low, 0);
  EXPECT_NEAR(none.high, z2 / (10 + z2), 1e-12);
  const Interval all = wilson_interval(10, 10);
  EXPECT_NEAR(all.low, 10 / (10 + z2), 1e-12);
  EXPECT_DOUBLE_EQ(all.high, 1);
  const Interval half = wilson_interval(50, 100);
  EXPECT_NEAR(half.high - 0.5, 0.5 * std::sqrt(z2 / (100 + z2)), 1e-12);
  EXPECT_NEAR(half.low + half.high, 1, 1e-12);
}

TEST(WilsonInterval, EndsSolveTheScoreEquation) {
  // (p - e)^2 = z^2 e (1 - e) / n at both ends e.
  for (const auto& [hits, n] : {std::pair{448, 500}, {3, 7}, {999, 1000}}) {
    const Interval interval = wilson_interval(hits, n);
    const double p = static_cast<double>(hits) / n;
    for (const double e : {interval.low, interval.high}) {
      EXPECT_NEAR((p - e) * (p - e), 3.841458820694124 * e * (1 - e) / n, 1e-12);
    }
    EXPECT_TRUE(interval.low < p && p < interval.high);
  }
}

}  // namespace
}  // namespace ulmfit::reports
