// What the tests of the model share: tensors in closed form, a tiny model, differences and finite differences.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/awd_lstm.h"
#include "model/pooling_head.h"
#include "model/softmax_head.h"
#include "optim/param_groups.h"

namespace ulmfit::test {

// scale * sin(1.3 (i + 1) + 2.1 number) at element i: what tests/reference/awd_lstm.py rebuilds.
inline at::Tensor closed_form(std::int64_t number, at::IntArrayRef shape, double scale) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  auto* out = tensor.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    out[i] = static_cast<float>(scale * std::sin(1.3 * static_cast<double>(i + 1) + 2.1 * static_cast<double>(number)));
  }
  return tensor;
}

// Largest difference of two tensors of one shape, as a share of the largest value of the second.
inline double relative_difference(const at::Tensor& found, const at::Tensor& expected) {
  if (!found.sizes().equals(expected.sizes())) return HUGE_VAL;
  if (found.numel() == 0) return 0;
  const at::Tensor a = found.detach().to(at::kDouble);
  const at::Tensor b = expected.detach().to(at::kDouble);
  const double largest = std::max(b.abs().max().item<double>(), 1e-30);
  const double difference = (a - b).abs().max().item<double>();
  return std::isnan(difference) ? HUGE_VAL : difference / largest;
}

// One thread while alive: the kernels of a tiny model take less time than waking a second one.
class OneThread {
 public:
  OneThread() : before_(at::get_num_threads()) { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) { return a.detach().equal(b.detach()); }

// [n] float32: the mask of `key` as the host draws it.
inline at::Tensor mask_of_host(const RandomKey& key, double drop, std::int64_t n) {
  at::Tensor mask = at::empty({n}, at::kFloat);
  fill_dropout_mask(key, drop, mask.mutable_data_ptr<float>(), static_cast<std::size_t>(n));
  return mask;
}

// The gradient of `loss` by central differences at every element of `tensor`, whose values are changed and put back. A step
// of h leaves an error of h^2 and of the loss's rounding / h.
inline at::Tensor finite_differences(const at::Tensor& tensor, double step, const std::function<double()>& loss) {
  at::NoGradGuard no_grad;
  at::Tensor gradient = at::empty(tensor.sizes(), at::kDouble);
  auto* values = tensor.mutable_data_ptr<float>();
  auto* out = gradient.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const float before = values[i];
    values[i] = static_cast<float>(before + step);
    const double above = values[i];
    const double loss_above = loss();
    values[i] = static_cast<float>(before - step);
    const double below = values[i];
    out[i] = (loss_above - loss()) / (above - below);
    values[i] = before;
  }
  return gradient;
}

// Gradient buffers of zeros, as the optimizer keeps them.
inline void zero_gradients(const std::vector<optim::NamedParameter>& parameters) {
  for (const auto& p : parameters) p.tensor.mutable_grad() = at::zeros_like(p.tensor);
}

inline std::vector<at::Tensor> copied_gradients(const std::vector<optim::NamedParameter>& parameters) {
  std::vector<at::Tensor> copies;
  for (const auto& p : parameters) copies.push_back(p.tensor.grad().clone());
  return copies;
}

// The model of tests/reference/awd_lstm.py: V 11, E 6, H 8, three layers, weights in closed form.
inline model::AwdLstm tiny_model() {
  model::AwdLstm tiny({.vocabulary = 11, .embedding = 6, .hidden = 8, .layers = 3}, 1, at::kCPU);
  at::NoGradGuard no_grad;
  std::int64_t number = 0;
  for (const auto& p : tiny.parameters()) {
    at::Tensor(p.tensor).copy_(closed_form(number++, p.tensor.sizes(), p.name == "embedding.weight" ? 1.5 : 1.2));
  }
  return tiny;
}

// Its language-model head.
inline model::SoftmaxHead tiny_softmax_head(const model::AwdLstm& tiny) {
  model::SoftmaxHead head(tiny);
  at::NoGradGuard no_grad;
  const auto number = static_cast<std::int64_t>(tiny.parameters().size());
  at::Tensor(head.bias()).copy_(closed_form(number, head.bias().sizes(), 0.3));
  return head;
}

// The head's parameters as the scripts in tests/reference have them.
inline void set_closed_form(const model::PoolingHead& head) {
  at::NoGradGuard no_grad;
  const std::array<double, 3> scales{0.25, 0.5, 0.6};  // batch norm's weight and bias, linear weight
  std::size_t i = 0;
  for (const auto& p : head.parameters()) {
    const auto number = static_cast<std::int64_t>(300 + 10 * (i % 3) + i / 3);
    at::Tensor(p.tensor).copy_(closed_form(number, p.tensor.sizes(), scales[i % 3]) + (i % 3 == 0 ? 1 : 0));
    ++i;
  }
}

inline std::int64_t tiny_token(std::int64_t i) { return (7 * i + 3) % 11; }

// [T, B] tokens tiny_token(first + t * B + b).
inline at::Tensor tiny_tokens(std::int64_t T, std::int64_t B, std::int64_t first = 0) {
  at::Tensor ids = at::empty({T, B}, at::kLong);
  for (std::int64_t i = 0; i < T * B; ++i) ids.mutable_data_ptr<std::int64_t>()[i] = tiny_token(first + i);
  return ids;
}

}  // namespace ulmfit::test
