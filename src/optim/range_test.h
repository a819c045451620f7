// What a learning-rate range test tells (Smith, "Cyclical learning rates for training neural networks", 2017): the loss of
// a short training whose rate rises from far too low to far too high.
#pragma once

#include <cstddef>
#include <vector>

namespace ulmfit::optim {

// The running mean of the losses so far, each weighing `beta` times the next one; unbiased from the first on.
std::vector<double> running_means(const std::vector<double>& losses, double beta = 0.98);

struct RateSuggestions {
  double valley = 0;           // half way down the longest descent, as fastai's lr_find suggests
  double steepest = 0;         // where the loss falls most for a change of the rate's logarithm
  double tenth_of_lowest = 0;  // a tenth of the rate with the lowest loss
};

// By `losses` (running means) at rising `rates`, of which the first `skip` and the last `leave` do not count. The longest
// descent is the longest sequence of falling losses, others between them left out. Throws std::invalid_argument if fewer
// than three count.
RateSuggestions suggest_rates(const std::vector<double>& rates, const std::vector<double>& losses, std::size_t skip,
                              std::size_t leave);

}  // namespace ulmfit::optim
