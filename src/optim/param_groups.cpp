#include "optim/param_groups.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace ulmfit::optim {
namespace {

// NaN where `digits` is not one whole number.
double parse_number(std::string_view digits) {
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  return whole ? value : std::numeric_limits<double>::quiet_NaN();
}

double parse_fraction(std::string_view entry, std::string_view text) {
  const std::size_t slash = std::min(entry.find('/'), entry.size());
  const double above = parse_number(entry.substr(0, slash));
  const double below = slash == entry.size() ? 1 : parse_number(entry.substr(slash + 1));
  const double factor = above / below;
  if (above > 0 && below > 0 && factor > 0 && std::isfinite(factor)) return factor;
  throw ConfigError(str("rate factors '", text, "': '", entry,
                        "' is not a positive number; write one factor a layer group, such as 1/6,1/3,1,1/2"));
}

}  // namespace

std::vector<double> discriminative_factors(std::size_t groups, double factor) {
  if (!(factor > 0) || !std::isfinite(factor)) {
    throw ConfigError(str("the factor between the rates of neighbouring layer groups is ", factor,
                          ", but must be positive; 2.6 is the paper's, 1 gives all groups one rate"));
  }
  std::vector<double> factors(groups);
  for (std::size_t i = 0; i < groups; ++i) factors[i] = std::pow(factor, -static_cast<double>(groups - 1 - i));
  return factors;
}

std::vector<double> parse_factors(std::string_view text, std::size_t groups) {
  std::vector<double> factors;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    factors.push_back(parse_fraction(text.substr(at, end - at), text));
    at = end + 1;
  }
  if (factors.size() != groups) {
    throw ConfigError(str("rate factors '", text, "' are ", factors.size(), ", but the model has ", groups,
                          " layer groups; give one factor a group, shallow to deep"));
  }
  return factors;
}

std::vector<at::Tensor> gradients(const std::vector<LayerGroup>& groups) {
  std::vector<at::Tensor> found;
  for (const LayerGroup& group : groups) {
    for (const NamedParameter& parameter : group.parameters) {
      if (parameter.tensor.grad().defined()) found.push_back(parameter.tensor.grad());
    }
  }
  return found;
}

}  // namespace ulmfit::optim
