#include "model/linear_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/activity.h"
#include "model/block_kernels.h"
#include "model/head_products.h"
#include "model/rounded_sums.h"
#include "model/softmax_rows.h"

namespace ulmfit::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Rows of logits at a time: so many that the passes over the weight's gradient, one a block, cost little beside the
// products. 123 MB at 60,000 words; on CUDA bfloat16 needs a float32 copy of them besides.
std::int64_t block_rows(const at::Tensor& hidden, at::ScalarType logits) {
  return logits == at::kBFloat16 && hidden.is_cpu() ? 1024 : 512;
}

// Losses of a block of logits (in place: becomes the gradient), [n] float32.
at::Tensor block_losses(at::Tensor& logits, const at::Tensor& bias, const at::Tensor& targets, double scale,
                        bool gradient) {
  if (!logits.is_cpu()) {
    const at::Tensor valid = targets.ge(0);
    const at::Tensor index = targets.clamp_min(0).unsqueeze(1);
    at::Tensor wide = logits.to(at::kFloat);  // the same memory if it is float32
    wide.add_(bias);
    const at::Tensor lse = wide.logsumexp(1);
    const at::Tensor losses = (lse - wide.gather(1, index).squeeze(1)).mul_(valid);
    if (gradient) {
      wide.sub_(lse.unsqueeze(1)).exp_();
      wide.scatter_add_(1, index, at::full_like(index, -1.0, wide.options()));
      wide.mul_(valid.to(at::kFloat).mul_(scale).unsqueeze(1));
      if (!wide.is_same(logits)) logits.copy_(wide);
    }
    return losses;
  }
  const std::int64_t cols = logits.size(1);
  at::Tensor losses = at::empty({logits.size(0)}, bias.options());
  auto* loss = losses.mutable_data_ptr<float>();
  const auto* target = targets.const_data_ptr<std::int64_t>();
  const auto* b = bias.const_data_ptr<float>();
  TORCH_CHECK(*std::max_element(target, target + losses.numel()) < cols, "linear_cross_entropy: a target lies outside the ",
              cols, " words of the vocabulary");
  const auto in_rows = [&](auto* numbers) {
    at::parallel_for(0, logits.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
      softmax_rows(numbers + begin * cols, end - begin, cols, cols, b, target + begin, loss + begin,
                   static_cast<float>(scale), gradient);
    });
  };
  if (logits.scalar_type() == at::kBFloat16) {
    in_rows(logits.mutable_data_ptr<at::BFloat16>());
  } else {
    in_rows(logits.mutable_data_ptr<float>());
  }
  return losses;
}

// The products of HeadProducts by ATen: on CUDA, and on CPUs without the block kernels.
class PlainProducts {
 public:
  explicit PlainProducts(const at::Tensor& weight) : weight_(weight), transposed_(weight.t()) {}
  void logits(const at::Tensor& hidden, at::Tensor& logits) const { at::mm_out(logits, hidden, transposed_); }
  // On CPUs in parts: some products add up all words of the vocabulary one after the other, and what is added last, to a
  // sum that is many times larger, loses its digits. (Measured with AVX2, one row and 40,000 words: 5e-5 from float64, in
  // parts 9e-7.)
  void hidden_gradient(const at::Tensor& gradient, at::Tensor& out) const {
    constexpr std::int64_t kWords = 1024;
    const std::int64_t words = out.is_cpu() ? std::min(kWords, weight_.size(0)) : weight_.size(0);
    at::mm_out(out, gradient.narrow(1, 0, words), weight_.narrow(0, 0, words));
    for (std::int64_t first = words; first < weight_.size(0); first += words) {
      const std::int64_t count = std::min(words, weight_.size(0) - first);
      out.add_(at::mm(gradient.narrow(1, first, count), weight_.narrow(0, first, count)));
    }
  }
  void add_weight_gradient(const at::Tensor& gradient, const at::Tensor& hidden) {
    weight_.mutable_grad().addmm_(gradient.t(), hidden);
  }
  void finish(const at::Tensor&) const {}

 private:
  at::Tensor weight_, transposed_;
};

// The same of rounded factors, with rounded results, on every device.
class Bfloat16Products {
 public:
  explicit Bfloat16Products(const at::Tensor& weight) : weight_(weight), rounded_(weight.detach().to(at::kBFloat16)) {}
  void logits(const at::Tensor& hidden, at::Tensor& logits) {
    hidden_ = hidden.to(at::kBFloat16);
    at::mm_out(logits, hidden_, rounded_.t());
  }
  void hidden_gradient(const at::Tensor& gradient, at::Tensor& out) const { out.copy_(at::mm(gradient, rounded_)); }
  // Of the block that logits() was last called with.
  void add_weight_gradient(const at::Tensor& gradient, const at::Tensor&) {
    if (!part_.defined()) part_ = at::empty(rounded_.sizes(), rounded_.options());
    at::mm_out(part_, gradient.t(), hidden_);
    add_rounded(weight_.mutable_grad(), part_);
  }
  void finish(const at::Tensor&) const {}

 private:
  at::Tensor weight_, rounded_, hidden_, part_;
};

struct HeadInputs {
  at::Tensor hidden, weight, bias, targets;
  double scale;
  bool gradient;
  at::ScalarType logits;  // in which the logits and their gradient are kept between products
};

// The unscaled sum of losses, block by block of rows; gradients into `hidden_gradient` and the .grad of weight and bias.
template <class Products>
double in_blocks(const HeadInputs& in, Products products, const at::Tensor& hidden_gradient) {
  const std::int64_t rows = in.hidden.size(0);
  const bool weight_gradient = in.gradient && in.weight.requires_grad();
  const std::int64_t block = std::min(block_rows(in.hidden, in.logits), rows);
  const at::Tensor buffer = at::empty({block, in.weight.size(0)}, in.hidden.options().dtype(in.logits));
  double nats = 0;
  for (std::int64_t first = 0; first < rows; first += block) {
    const std::int64_t n = std::min(block, rows - first);
    at::Tensor logits = buffer.narrow(0, 0, n);
    const at::Tensor hidden = in.hidden.narrow(0, first, n);
    products.logits(hidden, logits);
    const at::Tensor losses = block_losses(logits, in.bias, in.targets.narrow(0, first, n), in.scale, in.gradient);
    nats += losses.sum(at::kDouble).item<double>();
    if (!in.gradient) continue;
    at::Tensor block_gradient = hidden_gradient.narrow(0, first, n);
    products.hidden_gradient(logits, block_gradient);
    if (!weight_gradient) continue;
    products.add_weight_gradient(logits, hidden);
    if (!in.bias.requires_grad()) continue;
    if (in.logits == at::kBFloat16) {
      add_rounded_rows(in.bias.grad(), logits);
    } else {
      in.bias.mutable_grad().add_(logits.sum(0));
    }
  }
  if (weight_gradient) products.finish(in.weight.grad());
  return nats;
}

struct LinearCrossEntropy : Function<LinearCrossEntropy> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden, at::Tensor weight, at::Tensor bias,
                            const at::Tensor& targets, double scale, Precision precision, bool gradient, double* nats) {
    TORCH_CHECK(!gradient || !weight.requires_grad() ||
                    (weight.grad().defined() && (!bias.requires_grad() || bias.grad().defined())),
                "linear_cross_entropy: the gradient buffers of weight and bias must exist before the forward pass");
    const at::Tensor hidden_gradient = gradient ? at::empty_like(hidden) : at::Tensor();
    const bool rounded = precision == Precision::kBfloat16;
    const HeadInputs in{hidden, weight, bias, targets, scale, gradient, rounded ? at::kBFloat16 : at::kFloat};
    if (rounded) {
      *nats = in_blocks(in, Bfloat16Products(weight), hidden_gradient);
    } else if (hidden.is_cpu() && weight.is_contiguous() && has_block_kernels(at::kFloat)) {
      *nats = in_blocks(in, HeadProducts(weight), hidden_gradient);
    } else {
      *nats = in_blocks(in, PlainProducts(weight), hidden_gradient);
    }
    ctx->saved_data["gradient"] = hidden_gradient;
    return at::scalar_tensor(*nats * scale, hidden.options());
  }

  static variable_list backward(AutogradContext* ctx, const variable_list&) {
    return {ctx->saved_data["gradient"].toTensor(), {}, {}, {}, {}, {}, {}, {}};
  }
};

}  // namespace

CrossEntropy linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias,
                                  const at::Tensor& targets, double scale, Precision precision) {
  const Activity activity("head and loss");
  CrossEntropy result;
  const bool gradient = at::GradMode::is_enabled() && (hidden.requires_grad() || weight.requires_grad());
  result.loss = LinearCrossEntropy::apply(hidden.contiguous(), weight, bias, targets.contiguous(), scale, precision,
                                          gradient, &result.nats);
  return result;
}

}  // namespace ulmfit::model
