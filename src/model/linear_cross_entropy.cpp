#include "model/linear_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

#include "base/activity.h"
#include "kernels/softmax.h"
#include "model/block_kernels.h"
#include "model/gpu_kernels.h"
#include "model/head_blocks.h"
#include "model/head_products.h"
#include "model/rounded_sums.h"
#include "model/softmax_rows.h"

namespace ulmfit::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Rows of logits at a time.
std::int64_t block_rows(const at::Tensor& hidden, std::int64_t vocabulary, at::ScalarType logits) {
  if (const kernels::Launcher* gpu = kernels_on(hidden.device())) {
    return head_block_rows({vocabulary, hidden.size(1), static_cast<std::int64_t>(at::elementSize(logits))},
                           gpu->cache_bytes());
  }
  // So many that the passes over the weight's gradient, one a block, cost little beside the products. 123 MB at 60,000
  // words; libtorch's operators need a float32 copy besides of those in bfloat16.
  return logits == at::kBFloat16 && hidden.is_cpu() ? 1024 : 512;
}

// Losses of a block of logits (in place: becomes the gradient), [n] float32; the gradient's sums over the rows where they
// come with it.
kernels::RowLosses block_losses(at::Tensor& logits, const at::Tensor& bias, const at::Tensor& targets, double scale,
                                bool gradient) {
  if (kernels::Launcher* gpu = kernels_on(logits.device())) {
    return kernels::row_losses(*gpu, logits, bias, targets, scale, gradient);
  }
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
    return {losses, {}};
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
  return {losses, {}};
}

// The products of HeadProducts by ATen: on CUDA, and on CPUs without the block kernels. Its gradients of the weight go to
// `weight_gradient` at once.
class PlainProducts {
 public:
  explicit PlainProducts(const LinearLayer& layer)
      : weight_(layer.weight), transposed_(layer.weight.t()), weight_gradient_(layer.weight_gradient) {}
  // In parts where the CPU's product is slow to fill a result much wider than its factors. (Measured on two quiet cores
  // with AVX2, 512 rows of 400 and 33,278 words: 93 to 104 GFLOP/s, in parts 156 to 159, square products 173 to 187.)
  void logits(const at::Tensor& hidden, at::Tensor& logits) const {
    for_parts(512, [&](std::int64_t first, std::int64_t words) {
      at::Tensor part = logits.narrow(1, first, words);
      at::mm_out(part, hidden, transposed_.narrow(1, first, words));
    });
  }
  // In parts because some products add up all words of the vocabulary one after the other, and what is added last, to a sum
  // that is many times larger, loses its digits. (Measured with AVX2, one row and 40,000 words: 5e-5 from float64, in parts
  // 9e-7.)
  void hidden_gradient(const at::Tensor& gradient, at::Tensor& out) const {
    for_parts(1024, [&](std::int64_t first, std::int64_t words) {
      const at::Tensor factor = gradient.narrow(1, first, words), weight = weight_.narrow(0, first, words);
      if (first == 0) {
        at::mm_out(out, factor, weight);
      } else {
        out.add_(at::mm(factor, weight));
      }
    });
  }
  void add_weight_gradient(const at::Tensor& gradient, const at::Tensor& hidden) {
    weight_gradient_.addmm_(gradient.t(), hidden);
  }
  void finish(const at::Tensor&) const {}

 private:
  // Runs body(first word, words) for parts of the vocabulary of `most` words each on a CPU, on a GPU for the whole.
  template <class Body>
  void for_parts(std::int64_t most, const Body& body) const {
    const std::int64_t vocabulary = weight_.size(0), part = weight_.is_cpu() ? std::min(most, vocabulary) : vocabulary;
    for (std::int64_t first = 0; first < vocabulary; first += part) body(first, std::min(part, vocabulary - first));
  }

  at::Tensor weight_, transposed_, weight_gradient_;
};

// The same of rounded factors, on every device.
class Bfloat16Products {
 public:
  explicit Bfloat16Products(const LinearLayer& layer)
      : rounded_(layer.weight.to(at::kBFloat16)), weight_gradient_(layer.weight_gradient) {}
  void logits(const at::Tensor& hidden, at::Tensor& logits) {
    hidden_ = hidden.to(at::kBFloat16);
    at::mm_out(logits, hidden_, rounded_.t());
  }
  void hidden_gradient(const at::Tensor& gradient, at::Tensor& out) const { out.copy_(at::mm(gradient, rounded_)); }
  // Of the block that logits() was last called with.
  void add_weight_gradient(const at::Tensor& gradient, const at::Tensor&) {
    if (add_rounded_product(weight_gradient_, gradient.t(), hidden_)) return;
    if (!part_.defined()) part_ = at::empty(rounded_.sizes(), rounded_.options());
    at::mm_out(part_, gradient.t(), hidden_);
    add_rounded(weight_gradient_, part_);
  }
  void finish(const at::Tensor&) const {}

 private:
  at::Tensor rounded_, weight_gradient_, hidden_, part_;
};

struct HeadInputs {
  const at::Tensor& hidden;
  const LinearLayer& layer;
  const at::Tensor& targets;
  double scale;
  const at::Tensor& hidden_gradient;
  at::ScalarType logits;  // in which the logits and their gradient are kept between products
};

// sum_of_cross_entropies, block by block of rows.
template <class Products>
at::Tensor in_blocks(const HeadInputs& in, Products products) {
  const LinearLayer& layer = in.layer;
  const std::int64_t rows = in.hidden.size(0), last = layer.weight.size(0) - 1;
  const bool gradient = in.hidden_gradient.defined(), weight_gradient = gradient && layer.weight_gradient.defined();
  const std::int64_t block = std::min(block_rows(in.hidden, layer.weight.size(0), in.logits), rows);
  const at::Tensor buffer = at::empty({block, layer.weight.size(0)}, in.hidden.options().dtype(in.logits));
  at::Tensor nats = at::zeros({}, in.hidden.options().dtype(at::kDouble));
  for (std::int64_t first = 0; first < rows; first += block) {
    const std::int64_t n = std::min(block, rows - first);
    at::Tensor logits = buffer.narrow(0, 0, n);
    const at::Tensor hidden = in.hidden.narrow(0, first, n);
    products.logits(hidden, logits);
    if (layer.last_logits.defined()) logits.select(1, last).copy_(layer.last_logits.narrow(0, first, n));
    const auto [losses, bias_sums] = block_losses(logits, layer.bias, in.targets.narrow(0, first, n), in.scale, gradient);
    nats.add_(losses.sum(at::kDouble));
    if (!gradient) continue;
    at::Tensor block_gradient = in.hidden_gradient.narrow(0, first, n);
    products.hidden_gradient(logits, block_gradient);
    if (layer.last_gradient.defined()) layer.last_gradient.narrow(0, first, n).copy_(logits.select(1, last));
    if (!weight_gradient) continue;
    products.add_weight_gradient(logits, hidden);
    if (!layer.bias_gradient.defined()) continue;
    if (bias_sums.defined()) {
      at::Tensor(layer.bias_gradient).add_(bias_sums);
    } else if (in.logits == at::kBFloat16) {
      add_rounded_rows(layer.bias_gradient, logits);
    } else {
      at::Tensor(layer.bias_gradient).add_(logits.sum(0));
    }
  }
  if (weight_gradient) products.finish(layer.weight_gradient);
  return nats;
}

struct GradientAtHand : Function<GradientAtHand> {
  using Maybe = std::optional<at::Tensor>;  // autograd does not take undefined ones
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden, const Maybe& gradient, const at::Tensor& value,
                            const at::Tensor& /*weight*/, const at::Tensor& /*bias*/, const Maybe& /*more_weight*/,
                            const Maybe& /*more_bias*/) {
    ctx->saved_data["gradient"] = gradient.value_or(at::Tensor());
    return value.to(hidden.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list&) {
    return {ctx->saved_data["gradient"].toTensor(), {}, {}, {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor sum_of_cross_entropies(const at::Tensor& hidden, const LinearLayer& layer, const at::Tensor& targets,
                                  double scale, Precision precision, const at::Tensor& hidden_gradient) {
  const at::NoGradGuard no_grad;
  const bool rounded = precision == Precision::kBfloat16;
  const HeadInputs in{hidden, layer, targets, scale, hidden_gradient, rounded ? at::kBFloat16 : at::kFloat};
  if (rounded) return in_blocks(in, Bfloat16Products(layer));
  if (hidden.is_cpu() && layer.weight.is_contiguous() && has_block_kernels(at::kFloat)) {
    return in_blocks(in, HeadProducts(layer.weight));
  }
  return in_blocks(in, PlainProducts(layer));
}

bool wants_gradients(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias) {
  const bool gradient = at::GradMode::is_enabled() && (hidden.requires_grad() || weight.requires_grad());
  TORCH_CHECK(
      !gradient || !weight.requires_grad() || (weight.grad().defined() && (!bias.requires_grad() || bias.grad().defined())),
      "linear_cross_entropy: the gradient buffers of weight and bias must exist before the forward pass");
  return gradient;
}

at::Tensor loss_with_gradient(const at::Tensor& value, const at::Tensor& hidden, const at::Tensor& gradient,
                              const LossParameters& parameters) {
  const auto maybe = [](const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; };
  return GradientAtHand::apply(hidden, maybe(gradient), value, parameters.weight, parameters.bias,
                               maybe(parameters.more_weight), maybe(parameters.more_bias));
}

CrossEntropy linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias,
                                  const at::Tensor& targets, double scale, Precision precision) {
  const Activity activity("head and loss");
  const at::Tensor rows = hidden.contiguous();
  LinearLayer layer{weight.detach(), bias.detach()};
  at::Tensor gradient;
  if (wants_gradients(hidden, weight, bias)) {
    gradient = at::empty_like(rows, rows.options().requires_grad(false));
    if (weight.requires_grad()) {
      layer.weight_gradient = weight.grad();
      if (bias.requires_grad()) layer.bias_gradient = bias.grad();
    }
  }
  CrossEntropy result;
  result.nats = sum_of_cross_entropies(rows.detach(), layer, targets.contiguous(), scale, precision, gradient);
  result.loss = loss_with_gradient(result.nats * scale, hidden, gradient, {weight, bias});
  return result;
}

}  // namespace ulmfit::model
