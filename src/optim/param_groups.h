// Layer groups of a model, shallow to deep, and the rate each trains with.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <vector>

namespace ulmfit::optim {

struct NamedParameter {
  std::string name;   // unique in the model; keys the optimizer's state
  at::Tensor tensor;  // a leaf
  bool decay = true;  // weight decay applies (not to batch norm and biases of linear layers)
};

struct LayerGroup {
  std::string name;
  std::vector<NamedParameter> parameters;
};

// Discriminative fine-tuning (Howard & Ruder 2018, section 3.1): group i of n trains with factor^-(n-1-i) times the last
// group's rate. ConfigError unless factor is positive and finite.
std::vector<double> discriminative_factors(std::size_t groups, double factor = 2.6);

// An explicit list of factors, shallow to deep: numbers or fractions, "1/6,1/3,1,1/2" (the released LM fine-tuning
// script). ConfigError unless there is one positive number for each of `groups` groups.
std::vector<double> parse_factors(std::string_view text, std::size_t groups);

// All parameters' gradients that exist, in order.
std::vector<at::Tensor> gradients(const std::vector<LayerGroup>& groups);

}  // namespace ulmfit::optim
