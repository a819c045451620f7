#include "perf/plain_lm.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include <optional>
#include <tuple>
#include <vector>

namespace ulmfit::perf {
namespace {

// One mask over time: [1, B, W].
at::Tensor locked_dropout(const at::Tensor& x, double drop) {
  if (drop <= 0) return x;
  return x * at::empty({1, x.size(1), x.size(2)}, x.options().requires_grad(false)).bernoulli_(1 - drop).div_(1 - drop);
}

// bfloat16 as a user of PyTorch turns it on.
class Autocast {
 public:
  explicit Autocast(at::DeviceType device) : device_(device) {
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::set_autocast_enabled(device, true);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(device_, false);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
};

struct Layer {
  at::Tensor weight_ih, weight_hh, bias_ih, bias_hh, h, c;
};

}  // namespace

struct PlainLm::Impl {
  model::DropoutRates rates;
  model::Precision precision;
  double ar, tar, clip;
  at::Tensor embedding, bias;
  std::vector<Layer> layers;
  std::vector<at::Tensor> parameters;
  std::unique_ptr<torch::optim::AdamW> optimizer;

  at::Tensor encode(const at::Tensor& x) {
    at::Tensor table = embedding;
    if (rates.embedding > 0) {
      table = table * at::empty({table.size(0), 1}, table.options().requires_grad(false))
                          .bernoulli_(1 - rates.embedding)
                          .div_(1 - rates.embedding);
    }
    at::Tensor out = locked_dropout(at::embedding(table, x), rates.input);
    for (std::size_t l = 0; l < layers.size(); ++l) {
      Layer& layer = layers[l];
      const at::Tensor dropped = at::dropout(layer.weight_hh, rates.weight, /*train=*/true);
      at::Tensor h, c;
      std::tie(out, h, c) =
          at::lstm(out, {layer.h, layer.c}, {layer.weight_ih, dropped, layer.bias_ih, layer.bias_hh}, /*has_biases=*/true,
                   /*num_layers=*/1, /*dropout=*/0.0, /*train=*/true, /*bidirectional=*/false, /*batch_first=*/false);
      layer.h = h.detach();
      layer.c = c.detach();
      if (l + 1 < layers.size()) out = locked_dropout(out, rates.hidden);
    }
    return out;
  }
};

PlainLm::PlainLm(const model::AwdLstm& start, const model::DropoutRates& rates, const stages::OptimOptions& optim,
                 double ar, double tar, std::int64_t streams, std::uint64_t seed)
    : impl_(std::make_unique<Impl>()) {
  at::manual_seed(seed);
  impl_->rates = rates;
  impl_->precision = start.precision();
  impl_->ar = ar;
  impl_->tar = tar;
  impl_->clip = optim.clip;
  for (const auto& p : start.parameters()) {
    impl_->parameters.push_back(p.tensor.detach().clone().requires_grad_(true));
  }
  auto next = impl_->parameters.cbegin();
  impl_->embedding = *next++;
  for (std::int64_t l = 0; l < start.shape().layers; ++l) {
    const at::Tensor zero = at::zeros({1, streams, start.shape().output_width(l)}, at::TensorOptions(start.device()));
    impl_->layers.push_back({next[0], next[1], next[2], next[3], zero, zero});
    next += 4;
  }
  impl_->bias = at::zeros({start.shape().vocabulary}, at::TensorOptions(start.device())).requires_grad_(true);
  impl_->parameters.push_back(impl_->bias);
  const optim::OptimizerOptions& adam = optim.optimizer;
  impl_->optimizer = std::make_unique<torch::optim::AdamW>(
      impl_->parameters,
      torch::optim::AdamWOptions(optim.lr).betas({adam.beta1, adam.beta2}).eps(adam.eps).weight_decay(adam.weight_decay));
}

PlainLm::~PlainLm() = default;

double PlainLm::train_step(const at::Tensor& x, const at::Tensor& y) {
  Impl& m = *impl_;
  m.optimizer->zero_grad();
  std::optional<Autocast> autocast;
  if (m.precision == model::Precision::kBfloat16) autocast.emplace(x.device().type());
  const at::Tensor top = m.encode(x);
  const at::Tensor dropped = locked_dropout(top, m.rates.output);
  const at::Tensor logits = at::linear(dropped.flatten(0, 1), m.embedding, m.bias);
  const at::Tensor nats = at::cross_entropy_loss(logits, y.reshape({-1}));
  at::Tensor loss = nats;
  if (m.ar > 0) loss = loss + m.ar * dropped.square().mean();
  if (m.tar > 0 && x.size(0) > 1) {
    loss = loss + m.tar * (top.slice(0, 1) - top.slice(0, 0, top.size(0) - 1)).square().mean();
  }
  autocast.reset();
  loss.backward();
  if (m.clip > 0) torch::nn::utils::clip_grad_norm_(m.parameters, m.clip);
  m.optimizer->step();
  return nats.item<double>();
}

}  // namespace ulmfit::perf
