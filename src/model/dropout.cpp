#include "model/dropout.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/activity.h"
#include "kernels/masks.h"
#include "model/gpu_kernels.h"
#include "model/tensor_random.h"
#include "model/to_device.h"

namespace ulmfit::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// x * mask in the type of x. `What` is in the name that profiles see.
template <class What>
struct Masked : Function<Masked<What>> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& mask) {
    ctx->saved_data["mask"] = mask;
    return product(x, mask);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    return {product(grads[0], ctx->saved_data["mask"].toTensor()), at::Tensor()};
  }
  static at::Tensor product(const at::Tensor& x, const at::Tensor& mask) {
    at::Tensor out = at::empty_like(x);
    at::mul_out(out, x, mask);  // computed in the wider type of both, rounded as it is written
    return out;
  }
};
struct DropWeights;
struct DropHidden;

struct Embed : Function<Embed> {
  // `scale` holds one factor a token ([T, B]) or is undefined.
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& weight, const at::Tensor& ids,
                            const std::optional<at::Tensor>& scale) {
    ctx->saved_data["weight"] = weight;
    ctx->saved_data["ids"] = ids;
    ctx->saved_data["scale"] = scale.value_or(at::Tensor());
    at::Tensor rows = at::embedding(weight, ids);
    if (scale) rows.mul_(scale->unsqueeze(-1));
    return rows;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    at::Tensor weight = ctx->saved_data["weight"].toTensor();
    const at::Tensor scale = ctx->saved_data["scale"].toTensor();
    const at::Tensor rows = scale.defined() ? grads[0] * scale.unsqueeze(-1) : grads[0];
    const at::Tensor ids = ctx->saved_data["ids"].toTensor().reshape({-1});
    TORCH_CHECK(weight.grad().defined(), "embed: the gradient buffer of the embedding must exist before backward");
    weight.mutable_grad().index_add_(0, ids, rows.reshape({ids.numel(), -1}));
    return {at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

RandomKey draw_key(const MaskKey& key, Purpose purpose, std::uint32_t stream, std::uint32_t layer) {
  return {key.seed, purpose, key.step + key.window * kWindowStride, stream + layer * kLayerStride};
}

// `streams` as int64 on `device`. Those that follow each other are counted there: nothing has to be copied.
at::Tensor streams_on(at::Device device, const std::vector<std::uint32_t>& streams) {
  const auto jumps = [](std::uint32_t a, std::uint32_t b) { return b != a + 1; };
  if (!streams.empty() && std::adjacent_find(streams.begin(), streams.end(), jumps) == streams.end()) {
    const std::int64_t first = streams.front(), count = static_cast<std::int64_t>(streams.size());
    return at::arange(first, first + count, at::TensorOptions(device).dtype(at::kLong));
  }
  return to_device(at::tensor(std::vector<std::int64_t>(streams.begin(), streams.end()), at::kLong), device);
}

// One factor for each of `ids`, in their shape.
at::Tensor word_factors(const RandomKey& draws, const at::Tensor& ids, double drop) {
  if (kernels::Launcher* gpu = kernels_on(ids.device())) return kernels::mask_at(*gpu, draws, drop, ids);
  if (!ids.is_cpu()) return dropout_mask_at(draws, ids, drop);
  const at::Tensor dense = ids.contiguous();
  at::Tensor factors = at::empty(ids.sizes(), at::kFloat);
  const auto* id = dense.const_data_ptr<std::int64_t>();
  auto* out = factors.mutable_data_ptr<float>();
  const std::uint64_t threshold = keep_threshold(drop);
  const auto kept = static_cast<float>(1.0 / (1.0 - drop));
  for (std::int64_t i = 0; i < dense.numel(); ++i) {
    out[i] = random_word(draws, static_cast<std::uint64_t>(id[i])) < threshold ? kept : 0.0F;
  }
  return factors;
}

}  // namespace

at::Tensor locked_mask(const MaskKey& key, Purpose purpose, std::uint32_t layer, double drop, std::int64_t width,
                       at::Device device) {
  if (kernels::Launcher* gpu = kernels_on(device)) {
    return kernels::locked_masks(*gpu, draw_key(key, purpose, 0, layer), drop, streams_on(device, key.streams), width);
  }
  // Else on the host everywhere: it takes microseconds, and tensor operations that do it take more to be started.
  at::Tensor mask = at::empty({static_cast<std::int64_t>(key.streams.size()), width}, at::kFloat);
  auto* out = mask.mutable_data_ptr<float>();
  for (const std::uint32_t stream : key.streams) {
    fill_dropout_mask(draw_key(key, purpose, stream, layer), drop, out, static_cast<std::size_t>(width));
    out += width;
  }
  return to_device(mask, device);
}

RandomKey draws_of_shared_mask(const MaskKey& key, Purpose purpose, std::uint32_t layer) {
  return draw_key(key, purpose, layer, 0);
}

at::Tensor shared_mask(const MaskKey& key, Purpose purpose, std::uint32_t layer, double drop, std::int64_t rows,
                       std::int64_t cols) {
  at::Tensor mask = at::empty({rows, cols}, at::kFloat);
  fill_dropout_mask(draws_of_shared_mask(key, purpose, layer), drop, mask.mutable_data_ptr<float>(),
                    static_cast<std::size_t>(rows * cols));
  return mask;
}

at::Tensor drop_weights(const at::Tensor& weight, const at::Tensor& mask) {
  return Masked<DropWeights>::apply(weight, mask);
}

at::Tensor drop_hidden(const at::Tensor& hidden, const at::Tensor& mask) { return Masked<DropHidden>::apply(hidden, mask); }

at::Tensor embed(const at::Tensor& ids, const at::Tensor& weight, double drop, const MaskKey* key) {
  const Activity activity("embedding");
  std::optional<at::Tensor> scale;
  // Drawn for the words that occur, not for the whole vocabulary.
  if (key != nullptr && drop > 0) scale = word_factors(draw_key(*key, Purpose::kEmbeddingDropout, 0, 0), ids, drop);
  return Embed::apply(weight, ids, scale);
}

}  // namespace ulmfit::model
