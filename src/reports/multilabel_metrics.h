// Decisions of a classifier of texts that have several labels, or none: one a text and class, yes where the probability of
// the class is at or above its threshold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/label_sets.h"
#include "reports/classification_metrics.h"

namespace ulmfit::reports {

// Texts, their labels, and what is said of them. The memory must outlive it.
struct MultilabelAnswers {
  std::span<const float> probabilities;  // [texts, classes]
  std::size_t classes = 0;
  std::span<const std::int32_t> given;  // of each text, the number of its label set
  const data::LabelSets& sets;
};

// By class the threshold with the highest F1 on these texts: 0.5, or the middle between two neighbouring probabilities; of
// several the one nearest 0.5, of these the lower. 0.5 for a class that no text has, or with a probability that is not
// finite. In (0, 1).
std::vector<double> best_thresholds(const MultilabelAnswers& answers);

// Decisions about one class.
struct DecisionCounts {
  std::int64_t given = 0;      // texts that have it
  std::int64_t predicted = 0;  // texts that are said to have it
  std::int64_t hits = 0;       // both
};

struct Multilabel {
  std::vector<std::string> labels;     // the names of the classes
  std::vector<double> thresholds;      // one a class
  std::vector<DecisionCounts> counts;  // one a class
  std::int64_t texts = 0;
  std::int64_t whole = 0;  // texts whose labels are all right, and no other
  std::string split;       // that was classified: valid, test
};

Multilabel count_decisions(const MultilabelAnswers& answers, std::vector<std::string> labels,
                           std::vector<double> thresholds, std::string split);

struct MultilabelMetrics {
  double error = 0;               // share of wrong decisions (Hamming loss); NaN without texts, as is the next
  double whole_accuracy = 0;      // share of texts whose labels are all right (subset accuracy)
  Interval whole_interval;        // 95 %, Wilson
  double micro_f1 = 0;            // 2 hits / (given + predicted) over all classes; 0 if there are none
  double macro_f1 = 0;            // mean F1 of the classes that were given or predicted at all; 0 if there are none
  std::int64_t classes_seen = 0;  // these
  std::vector<ClassMetrics> classes;
};

MultilabelMetrics multilabel_metrics(const Multilabel& decided);

}  // namespace ulmfit::reports
