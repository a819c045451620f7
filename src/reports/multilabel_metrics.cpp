#include "reports/multilabel_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

namespace ulmfit::reports {
namespace {

constexpr double kEven = 0.5;

double share(std::int64_t part, std::int64_t whole, double without) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : without;
}

double f1_of(const DecisionCounts& c) { return share(2 * c.hits, c.given + c.predicted, 0); }

// One class in all texts: its probability, and whether the text has it.
using Column = std::vector<std::pair<double, bool>>;

Column column_of(const MultilabelAnswers& answers, std::size_t c) {
  Column column;
  for (std::size_t t = 0; t < answers.given.size(); ++t) {
    const std::vector<std::int32_t>& set = answers.sets.at(static_cast<std::size_t>(answers.given[t]));
    const bool has = std::binary_search(set.begin(), set.end(), static_cast<std::int32_t>(c));
    column.emplace_back(answers.probabilities[t * answers.classes + c], has);
  }
  return column;
}

struct Candidate {
  double threshold = kEven;
  DecisionCounts counts;

  // F1 is compared in whole numbers: 2 h / (g + p) of both, multiplied out.
  bool better_than(const Candidate& other) const {
    const std::int64_t mine = counts.hits * (other.counts.given + other.counts.predicted);
    const std::int64_t others = other.counts.hits * (counts.given + counts.predicted);
    if (mine != others) return mine > others;
    const double distance = std::abs(threshold - kEven), distance_of_other = std::abs(other.threshold - kEven);
    return distance < distance_of_other || (distance == distance_of_other && threshold < other.threshold);
  }
};

double best_threshold(Column column) {
  Candidate best;
  for (const auto& [probability, has] : column) {
    if (!std::isfinite(probability)) return kEven;
    const bool yes = probability >= kEven;
    best.counts.given += has ? 1 : 0;
    best.counts.predicted += yes ? 1 : 0;
    best.counts.hits += has && yes ? 1 : 0;
  }
  if (best.counts.given == 0) return kEven;
  std::sort(column.begin(), column.end(), std::greater<>());
  Candidate next{0, {best.counts.given, 0, 0}};
  for (std::size_t i = 0; i + 1 < column.size(); ++i) {
    ++next.counts.predicted;
    next.counts.hits += column[i].second ? 1 : 0;
    if (column[i].first == column[i + 1].first) continue;
    next.threshold = (column[i].first + column[i + 1].first) / 2;
    if (next.better_than(best)) best = next;
  }
  return best.threshold;
}

}  // namespace

std::vector<double> best_thresholds(const MultilabelAnswers& answers) {
  std::vector<double> thresholds;
  for (std::size_t c = 0; c < answers.classes; ++c) thresholds.push_back(best_threshold(column_of(answers, c)));
  return thresholds;
}

Multilabel count_decisions(const MultilabelAnswers& answers, std::vector<std::string> labels,
                           std::vector<double> thresholds, std::string split) {
  Multilabel decided{std::move(labels), std::move(thresholds), std::vector<DecisionCounts>(answers.classes), 0, 0,
                     std::move(split)};
  std::vector<bool> whole(answers.given.size(), true);
  for (std::size_t c = 0; c < answers.classes; ++c) {
    const Column column = column_of(answers, c);
    DecisionCounts& counts = decided.counts[c];
    for (std::size_t t = 0; t < column.size(); ++t) {
      const bool has = column[t].second, yes = column[t].first >= decided.thresholds.at(c);
      counts.given += has ? 1 : 0;
      counts.predicted += yes ? 1 : 0;
      counts.hits += has && yes ? 1 : 0;
      if (has != yes) whole[t] = false;
    }
  }
  decided.texts = static_cast<std::int64_t>(whole.size());
  decided.whole = std::count(whole.begin(), whole.end(), true);
  return decided;
}

MultilabelMetrics multilabel_metrics(const Multilabel& decided) {
  MultilabelMetrics metrics;
  DecisionCounts all;
  double f1_sum = 0;
  for (const DecisionCounts& c : decided.counts) {
    all.given += c.given;
    all.predicted += c.predicted;
    all.hits += c.hits;
    f1_sum += f1_of(c);
    metrics.classes_seen += c.given + c.predicted > 0 ? 1 : 0;
    metrics.classes.push_back({share(c.hits, c.predicted, 0), share(c.hits, c.given, 0), f1_of(c), c.given, c.predicted});
  }
  const auto classes = static_cast<std::int64_t>(decided.counts.size());
  metrics.error = share(all.given + all.predicted - 2 * all.hits, decided.texts * classes, std::nan(""));
  metrics.whole_accuracy = share(decided.whole, decided.texts, std::nan(""));
  metrics.whole_interval = wilson_interval(decided.whole, decided.texts);
  metrics.micro_f1 = f1_of(all);
  metrics.macro_f1 = metrics.classes_seen > 0 ? f1_sum / static_cast<double>(metrics.classes_seen) : 0;
  return metrics;
}

}  // namespace ulmfit::reports
