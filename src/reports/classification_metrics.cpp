#include "reports/classification_metrics.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "base/random.h"

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

// What macro F1 and MCC are made of.
struct Margins {
  std::vector<std::int64_t> given, predicted, hits;  // by class

  explicit Margins(std::size_t classes) : given(classes), predicted(classes), hits(classes) {}
  void add(std::size_t label, std::size_t answer, std::int64_t count) {
    given[label] += count;
    predicted[answer] += count;
    if (label == answer) hits[label] += count;
  }
};

double f1_of(const Margins& m, std::size_t c) { return share(2 * m.hits[c], m.given[c] + m.predicted[c], 0); }

std::int64_t classes_seen(const Margins& m) {
  std::int64_t seen = 0;
  for (std::size_t c = 0; c < m.given.size(); ++c) seen += m.given[c] + m.predicted[c] > 0 ? 1 : 0;
  return seen;
}

double macro_f1_of(const Margins& m, std::int64_t classes) {
  double sum = 0;
  for (std::size_t c = 0; c < m.given.size(); ++c) sum += f1_of(m, c);
  return classes > 0 ? sum / static_cast<double>(classes) : std::nan("");
}

double mcc_of(const Margins& m) {
  double n = 0, hits = 0, both = 0, given = 0, predicted = 0;
  for (std::size_t c = 0; c < m.given.size(); ++c) {
    const auto t = static_cast<double>(m.given[c]), p = static_cast<double>(m.predicted[c]);
    n += t;
    hits += static_cast<double>(m.hits[c]);
    both += t * p;
    given += t * t;
    predicted += p * p;
  }
  if (n == 0) return std::nan("");
  const double spread = (n * n - given) * (n * n - predicted);
  return spread > 0 ? (hits * n - both) / std::sqrt(spread) : 0;
}

Interval percentiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<std::size_t>(std::llround(share * static_cast<double>(values.size() - 1)))];
  };
  return {at(0.025), at(0.975)};
}

Margins margins_of(const ConfusionMatrix& confusion) {
  check_matrix(confusion);
  Margins margins(confusion.size());
  for (std::size_t given = 0; given < confusion.size(); ++given) {
    for (std::size_t predicted = 0; predicted < confusion.size(); ++predicted) {
      margins.add(given, predicted, confusion[given][predicted]);
    }
  }
  return margins;
}

}  // namespace

ClassificationMetrics classification_metrics(const ConfusionMatrix& confusion) {
  const Margins margins = margins_of(confusion);
  ClassificationMetrics f;
  f.classes.resize(confusion.size());
  for (std::size_t c = 0; c < confusion.size(); ++c) {
    ClassMetrics& metrics = f.classes[c];
    metrics.support = margins.given[c];
    metrics.predicted = margins.predicted[c];
    metrics.precision = share(margins.hits[c], metrics.predicted, 0);
    metrics.recall = share(margins.hits[c], metrics.support, 0);
    metrics.f1 = f1_of(margins, c);
    f.texts += metrics.support;
    f.hits += margins.hits[c];
  }
  f.accuracy = share(f.hits, f.texts, std::nan(""));
  f.error = share(f.texts - f.hits, f.texts, std::nan(""));
  f.classes_seen = classes_seen(margins);
  f.macro_f1 = macro_f1_of(margins, f.classes_seen);
  f.mcc = mcc_of(margins);
  f.accuracy_interval = wilson_interval(f.hits, f.texts);
  return f;
}

std::vector<Mistake> frequent_mistakes(const ConfusionMatrix& confusion, std::size_t most) {
  std::vector<Mistake> mistakes;
  for (std::size_t given = 0; given < confusion.size(); ++given) {
    for (std::size_t predicted = 0; predicted < confusion.size(); ++predicted) {
      const std::int64_t texts = confusion[given][predicted];
      if (given != predicted && texts > 0) mistakes.push_back({given, predicted, texts});
    }
  }
  std::stable_sort(mistakes.begin(), mistakes.end(), [](const auto& a, const auto& b) { return a.texts > b.texts; });
  mistakes.resize(std::min(mistakes.size(), most));
  return mistakes;
}

ResampledIntervals resampled_intervals(const ConfusionMatrix& confusion) {
  constexpr std::uint64_t kResamples = 1000;
  const Margins whole = margins_of(confusion);
  struct Text {
    std::size_t given, predicted, first_of_class;
  };
  std::vector<Text> texts;
  for (std::size_t given = 0; given < confusion.size(); ++given) {
    const std::size_t first = texts.size();
    for (std::size_t predicted = 0; predicted < confusion.size(); ++predicted) {
      texts.insert(texts.end(), static_cast<std::size_t>(confusion[given][predicted]), Text{given, predicted, first});
    }
  }
  const std::size_t n = texts.size();
  if (n == 0) return {{std::nan(""), std::nan("")}, {std::nan(""), std::nan("")}};
  std::vector<double> macro_f1, mcc;
  for (std::uint64_t r = 0; r < kResamples; ++r) {
    Margins drawn(confusion.size());
    const RandomKey key{0, Purpose::kBootstrap, r, 0};
    for (std::size_t i = 0; i < n; i += 4) {
      const PhiloxBlock words = random_block(key, static_cast<std::uint32_t>(i / 4));
      for (std::size_t j = 0; j < 4 && i + j < n; ++j) {
        const Text& replaced = texts[i + j];
        const auto of_class = static_cast<std::uint64_t>(whole.given[replaced.given]);
        const auto chosen = static_cast<std::size_t>((static_cast<std::uint64_t>(words[j]) * of_class) >> 32);
        drawn.add(replaced.given, texts[replaced.first_of_class + chosen].predicted, 1);
      }
    }
    macro_f1.push_back(macro_f1_of(drawn, classes_seen(whole)));
    mcc.push_back(mcc_of(drawn));
  }
  return {percentiles(macro_f1), percentiles(mcc)};
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
