#include "model/flat_weights.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

namespace ulmfit::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

struct Flatten : Function<Flatten> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& weight_ih, const at::Tensor& weight_hh,
                               const at::Tensor& bias_ih, const at::Tensor& bias_hh, const std::optional<at::Tensor>& mask,
                               at::ScalarType type) {
    ctx->saved_data["mask"] = mask.value_or(at::Tensor());
    const variable_list from{weight_ih, weight_hh, bias_ih, bias_hh};
    std::int64_t elements = 0;
    for (const at::Tensor& t : from) elements += t.numel();
    const at::Tensor buffer = at::empty({elements}, weight_ih.options().dtype(type));
    variable_list views;
    std::int64_t first = 0;
    for (const at::Tensor& t : from) {
      views.push_back(buffer.narrow(0, first, t.numel()).view(t.sizes()));
      first += t.numel();
      if (mask && views.size() == 2) {
        at::mul_out(views[1], weight_hh, *mask);
      } else {
        views.back().copy_(t);
      }
    }
    return views;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    variable_list result(6);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (gradients[i].defined()) result[i] = gradients[i].to(at::kFloat);
    }
    const at::Tensor mask = ctx->saved_data["mask"].toTensor();
    if (mask.defined() && result[1].defined()) result[1] = result[1] * mask;
    return result;
  }
};

}  // namespace

FlatWeights flat_weights(const FlatWeights& weights, const at::Tensor& mask, at::ScalarType type) {
  const std::optional<at::Tensor> given = mask.defined() ? std::optional(mask) : std::nullopt;
  const variable_list flat =
      Flatten::apply(weights.weight_ih, weights.weight_hh, weights.bias_ih, weights.bias_hh, given, type);
  return {flat[0], flat[1], flat[2], flat[3]};
}

}  // namespace ulmfit::model
