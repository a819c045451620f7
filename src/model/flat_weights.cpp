#include "model/flat_weights.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include "kernels/masks.h"
#include "model/gpu_kernels.h"
#include "model/tensor_random.h"

namespace ulmfit::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Where kernels draw a mask, it is drawn again for the gradient; else it is kept.
class DrawnMask : public torch::CustomClassHolder {
 public:
  explicit DrawnMask(const WeightMask& mask) : mask_(mask) {}

  // to = from * mask, in the type of `to`.
  void apply(const at::Tensor& from, at::Tensor to) {
    if (kernels::Launcher* gpu = kernels_on(from.device())) {
      kernels::masked_copy(*gpu, mask_.draws, mask_.drop, from.contiguous(), to);
      return;
    }
    if (!kept_.defined()) {
      kept_ = dropout_mask(mask_.draws, mask_.drop, from.numel(), from.device()).view(from.sizes());
    }
    at::mul_out(to, from.to(at::kFloat), kept_);
  }

 private:
  WeightMask mask_;
  at::Tensor kept_;
};

struct Flatten : Function<Flatten> {
  // `mask`: null for none.
  static variable_list forward(AutogradContext* ctx, const at::Tensor& weight_ih, const at::Tensor& weight_hh,
                               const at::Tensor& bias_ih, const at::Tensor& bias_hh,
                               const c10::intrusive_ptr<DrawnMask>& mask, at::ScalarType type) {
    if (mask) ctx->saved_data["mask"] = c10::IValue::make_capsule(mask);
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
        mask->apply(t, views.back());
      } else {
        views.back().copy_(t);
      }
    }
    return views;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    variable_list result(6);
    const auto mask = ctx->saved_data.find("mask");
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].defined()) continue;
      if (i == 1 && mask != ctx->saved_data.end()) {
        result[i] = at::empty(gradients[i].sizes(), gradients[i].options().dtype(at::kFloat));
        c10::static_intrusive_pointer_cast<DrawnMask>(mask->second.toCapsule())->apply(gradients[i], result[i]);
      } else {
        result[i] = gradients[i].to(at::kFloat);
      }
    }
    return result;
  }
};

}  // namespace

FlatWeights flat_weights(const FlatWeights& weights, const WeightMask& mask, at::ScalarType type) {
  c10::intrusive_ptr<DrawnMask> drawn;
  if (mask.drop > 0) drawn = c10::make_intrusive<DrawnMask>(mask);
  const variable_list flat =
      Flatten::apply(weights.weight_ih, weights.weight_hh, weights.bias_ih, weights.bias_hh, drawn, type);
  return {flat[0], flat[1], flat[2], flat[3]};
}

}  // namespace ulmfit::model
