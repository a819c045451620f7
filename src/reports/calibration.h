// How far a classifier's probabilities can be trusted, and what is gained by not answering where they are low.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "reports/classification_metrics.h"

namespace ulmfit::reports {

// Texts whose predicted label has a probability in one of equally wide ranges.
struct ReliabilityBin {
  std::int64_t texts = 0;
  double confidence = 0;  // their mean probability; 0 without texts
  double accuracy = 0;    // the share of them that is right
};

// Bin i of n holds probabilities in (i / n, (i + 1) / n].
std::vector<ReliabilityBin> reliability_bins(std::span<const Confidence> answers, std::size_t bins = 15);

// Expected calibration error (Naeini et al. 2015; Guo et al., "On calibration of modern neural networks", ICML 2017):
// sum over the bins of texts / all texts * |accuracy - confidence|. NaN without answers.
double expected_calibration_error(std::span<const Confidence> answers, std::size_t bins = 15);

// Texts below a probability get no answer.
struct Rejection {
  double coverage = 0;  // share of the texts that get an answer; NaN without texts
  std::int64_t answered = 0;
  double error = 0;         // of the answers; NaN without
  Interval error_interval;  // 95 %, Wilson
};
Rejection reject_below(std::span<const Confidence> answers, double probability);

// Temperature scaling (Guo et al. 2017): the T > 0 for which p^(1/T), scaled to sum 1, makes the labels most likely;
// between 1/20 and 20. `probabilities`: [texts, classes] row by row, `labels` by text. 1 without texts.
double fit_temperature(std::span<const float> probabilities, std::size_t classes, std::span<const std::int32_t> labels);

// No temperature was found within the bounds.
bool is_at_bound(double temperature);

// The predicted label's probability of each text at that temperature, and whether it is right.
std::vector<Confidence> confidences(std::span<const float> probabilities, std::size_t classes,
                                    std::span<const std::int32_t> labels, double temperature = 1);

}  // namespace ulmfit::reports
