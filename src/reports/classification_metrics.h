// Metrics of a classifier from its confusion matrix.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ulmfit::reports {

// Counts of texts by given label (row) and predicted label (column).
using ConfusionMatrix = std::vector<std::vector<std::int64_t>>;

// A text that the model finds unlikely to have the label that it has.
struct HardText {
  std::int64_t document = 0;  // its number in the split
  std::string place;          // "FILE:LINE" that it was read from; empty: unknown
  std::string given;
  std::string predicted;
  double loss = 0;                   // -log of the probability of the given label
  double probability = 0;            // of the predicted one
  std::string text;                  // as it can be read, perhaps its beginning
  std::vector<std::string> words{};  // that speak most for the predicted label; empty: unknown
};

// An answer: the predicted label's probability, and whether the label is right.
struct Confidence {
  double probability = 0;
  bool right = false;
};

// What is known of the probabilities (calibration.h).
struct Calibration {
  std::vector<Confidence> answers;         // of all texts; empty: nothing
  std::optional<double> temperature;       // fitted on other texts
  std::vector<Confidence> at_temperature;  // with it

  const std::vector<Confidence>& best() const { return temperature ? at_temperature : answers; }
};

struct Classification {
  std::vector<std::string> labels;
  ConfusionMatrix confusion;
  std::string split;  // that was classified: valid, test
  std::vector<HardText> hardest{};
  Calibration calibration{};
};

struct Interval {
  double low = 0;
  double high = 1;
};

struct ClassMetrics {
  double precision = 0;        // of the texts predicted as this class, the share that is; 0 if there are none
  double recall = 0;           // of the texts given as this class, the share that is found; 0 if there are none
  double f1 = 0;               // 2 hits / (given + predicted); 0 if there are none
  std::int64_t support = 0;    // texts given as this class
  std::int64_t predicted = 0;  // texts predicted as this class
};

struct ClassificationMetrics {
  std::int64_t texts = 0;
  std::int64_t hits = 0;
  double accuracy = 0;  // NaN without texts, as are the next three
  double error = 0;     // 1 - accuracy
  double macro_f1 = 0;  // mean F1 of the classes that were given or predicted at all
  double mcc = 0;       // Matthews correlation coefficient of several classes (Gorodkin 2004); 0 if all is one class
  std::int64_t classes_seen = 0;  // that were given or predicted at all
  Interval accuracy_interval;     // 95 %, Wilson
  std::vector<ClassMetrics> classes;
};

// Throws std::invalid_argument if the matrix is not square or has a negative count.
ClassificationMetrics classification_metrics(const ConfusionMatrix& confusion);

struct Mistake {
  std::size_t given, predicted;
  std::int64_t texts;
};

// The most frequent ones first, `most` at most.
std::vector<Mistake> frequent_mistakes(const ConfusionMatrix& confusion, std::size_t most);

inline constexpr std::size_t kLargestMatrix = 30;  // classes; a confusion matrix of more can't be read
inline constexpr std::size_t kShownMistakes = 10;

// 95 % intervals of macro F1 and MCC: percentile bootstrap (Efron 1979) over the texts of each class, so that no small
// class is missing from a resample, 1,000 resamples, always the same ones for the same counts. [NaN, NaN] without texts.
struct ResampledIntervals {
  Interval macro_f1, mcc;
};
ResampledIntervals resampled_intervals(const ConfusionMatrix& confusion);

// 95 % interval of a share seen in `hits` of `trials`: Wilson, "Probable inference, the law of succession, and statistical
// inference", JASA 1927: (p + z^2/2n +- z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n). [0, 1] without trials.
Interval wilson_interval(std::int64_t hits, std::int64_t trials);

}  // namespace ulmfit::reports
