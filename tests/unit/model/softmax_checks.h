// What the tests of the softmaxes share: loss and gradients, ours and in float64 the plain way, and how near they are.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

#include "model/linear_cross_entropy.h"
#include "tests/support/model_checks.h"

namespace ulmfit::test {

struct LossAndGradients {
  double loss, nats;
  std::vector<at::Tensor> gradients;
};

// Of `ce`, with the gradients of `tensors`.
inline LossAndGradients backward_of(const model::CrossEntropy& ce, const std::vector<at::Tensor>& tensors) {
  torch::autograd::backward({ce.loss}, {});
  LossAndGradients result{ce.loss.item<double>(), ce.nats.item<double>(), {}};
  for (const auto& t : tensors) result.gradients.push_back(t.grad().clone());
  return result;
}

// The tensors' values in float64, as leaves.
inline std::vector<at::Tensor> in_float64(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> wide;
  for (const auto& t : tensors) wide.push_back(t.detach().to(at::kDouble).set_requires_grad(true));
  return wide;
}

// Of scale * the cross entropies' sum, by autograd; log_probabilities [N, V] float64, of the leaves `wide`.
inline LossAndGradients plain_backward(const at::Tensor& log_probabilities, const at::Tensor& targets, double scale,
                                       const std::vector<at::Tensor>& wide) {
  const at::Tensor loss = at::nll_loss(log_probabilities, targets, {}, at::Reduction::Sum, /*ignore_index=*/-1) * scale;
  torch::autograd::backward({loss}, {});
  LossAndGradients result{loss.item<double>(), loss.item<double>() / scale, {}};
  for (const auto& t : wide) result.gradients.push_back(t.grad());
  return result;
}

inline void expect_near(const LossAndGradients& found, const LossAndGradients& plain, double scale) {
  EXPECT_NEAR(found.loss, plain.loss, 2e-6 * std::fabs(plain.loss));
  EXPECT_NEAR(found.nats * scale, found.loss, 1e-7 * std::fabs(found.loss));
  for (std::size_t i = 0; i < found.gradients.size(); ++i) {
    EXPECT_LT(relative_difference(found.gradients[i], plain.gradients[i]), 2e-5) << "gradient " << i;
  }
}

}  // namespace ulmfit::test
