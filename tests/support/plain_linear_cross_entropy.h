// What model::linear_cross_entropy computes, the plain way: all logits at once, ordinary autograd.
#pragma once

#include <ATen/ATen.h>

namespace ulmfit::test {

inline at::Tensor plain_linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias,
                                             const at::Tensor& targets, double scale) {
  const at::Tensor losses =
      at::nll_loss(at::log_softmax(at::addmm(bias, hidden, weight.t()), 1), targets, {}, at::Reduction::Sum,
                   /*ignore_index=*/-1);
  return losses * scale;
}

}  // namespace ulmfit::test
