#include "optim/range_test.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace ulmfit::optim {
namespace {

struct Descent {
  std::size_t end = 0;     // its last loss
  std::size_t length = 1;  // losses in it
};

// Of the longest, the one that ends first.
Descent longest_descent(const std::vector<double>& losses) {
  std::vector<std::size_t> lengths(losses.size(), 1);  // of the longest descent that ends here
  Descent longest;
  for (std::size_t i = 1; i < losses.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (losses[i] < losses[j]) lengths[i] = std::max(lengths[i], lengths[j] + 1);
    }
    if (lengths[i] > longest.length) longest = {i, lengths[i]};
  }
  return longest;
}

}  // namespace

std::vector<double> running_means(const std::vector<double>& losses, double beta) {
  std::vector<double> means;
  means.reserve(losses.size());
  double sum = 0;
  double weight = 0;
  for (const double loss : losses) {
    sum = beta * sum + (1 - beta) * loss;
    weight = beta * weight + (1 - beta);
    means.push_back(sum / weight);
  }
  return means;
}

RateSuggestions suggest_rates(const std::vector<double>& rates, const std::vector<double>& losses, std::size_t skip,
                              std::size_t leave) {
  if (rates.size() != losses.size() || losses.size() < skip + leave + 3) {
    throw std::invalid_argument("suggest_rates: too few losses");
  }
  const auto counted = [&](const std::vector<double>& values) {
    return std::vector<double>(values.begin() + static_cast<std::ptrdiff_t>(skip),
                               values.end() - static_cast<std::ptrdiff_t>(leave));
  };
  const std::vector<double> rate = counted(rates);
  const std::vector<double> loss = counted(losses);
  RateSuggestions found;
  double steepest = 0;
  for (std::size_t i = 0; i + 1 < loss.size(); ++i) {
    const double slope = (loss[i + 1] - loss[i]) / (std::log(rate[i + 1]) - std::log(rate[i]));
    if (i == 0 || slope < steepest) {
      steepest = slope;
      found.steepest = rate[i];
    }
  }
  const auto lowest = static_cast<std::size_t>(std::min_element(loss.begin(), loss.end()) - loss.begin());
  found.tenth_of_lowest = rate[lowest] / 10;
  // In fastai's words: a third of the descent and half a third more, the descent being as many steps long as it has losses.
  const Descent descent = longest_descent(loss);
  const auto length = static_cast<std::ptrdiff_t>(descent.length);
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(descent.end) - length;  // -1 for one from the very first loss
  const double third = static_cast<double>(length) / 3;
  const auto place = start + static_cast<std::ptrdiff_t>(third) + static_cast<std::ptrdiff_t>(third / 2);
  found.valley = rate[static_cast<std::size_t>(std::max<std::ptrdiff_t>(place, 0))];
  return found;
}

}  // namespace ulmfit::optim
