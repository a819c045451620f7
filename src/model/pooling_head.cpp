#include "model/pooling_head.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "model/dropout.h"

namespace ulmfit::model {
namespace {

constexpr double kMomentum = 0.1;
constexpr double kEpsilon = 1e-5;
constexpr std::uint32_t kFirstWeight = 1000;  // of the initial draws: apart from the encoder's
constexpr std::uint32_t kFirstBias = 2000;

// PyTorch's default for weight and bias of a linear layer of `in` inputs.
at::Tensor linear_parameter(at::IntArrayRef sizes, std::int64_t in, std::uint64_t seed, std::uint32_t number,
                            at::Device device) {
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  at::Tensor tensor = at::empty(sizes, at::kFloat);
  const RandomKey key{seed, Purpose::kInit, 0, number};
  auto* data = tensor.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    data[i] = static_cast<float>((2 * random_uniform(key, static_cast<std::uint64_t>(i)) - 1) * bound);
  }
  return tensor.to(device).requires_grad_(true);
}

}  // namespace

PoolingHead::PoolingHead(PoolingHeadOptions options, std::uint64_t seed, at::Device device) : options_(std::move(options)) {
  const at::TensorOptions like(device);
  for (std::size_t k = 0; k + 1 < options_.widths.size(); ++k) {
    const std::int64_t in = options_.widths[k];
    const std::int64_t out = options_.widths[k + 1];
    const auto number = static_cast<std::uint32_t>(k);
    Block block;
    block.bn_weight = at::ones({in}, like).requires_grad_(true);
    block.bn_bias = at::zeros({in}, like).requires_grad_(true);
    block.running_mean = at::zeros({in}, like);
    block.running_var = at::ones({in}, like);
    block.weight = linear_parameter({out, in}, in, seed, kFirstWeight + number, device);
    if (options_.bias) block.bias = linear_parameter({out}, in, seed, kFirstBias + number, device);
    blocks_.push_back(std::move(block));
  }
}

at::Tensor PoolingHead::forward(const at::Tensor& features, const std::vector<double>& drops, const MaskKey* key,
                                bool update_statistics) {
  const bool training = key != nullptr;
  if (training && features.size(0) < 2) {
    throw ConfigError(str("cannot train the head on a batch of ", features.size(0),
                          " documents: batch norm needs at least 2; "
                          "choose larger batches"));
  }
  at::Tensor x = features;
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    Block& block = blocks_[k];
    const bool moving = training && update_statistics;
    x = at::batch_norm(x, block.bn_weight, block.bn_bias, moving || !training ? block.running_mean : at::Tensor(),
                       moving || !training ? block.running_var : at::Tensor(), training, kMomentum, kEpsilon,
                       /*cudnn_enabled=*/false);
    if (training && drops.at(k) > 0) {
      x = x *
          locked_mask(*key, Purpose::kHeadDropout, static_cast<std::uint32_t>(k), drops[k], options_.widths[k], x.device());
    }
    x = at::linear(x, block.weight, block.bias);
    if (k + 1 < blocks_.size()) x = at::relu(x);
  }
  return x;
}

std::size_t PoolingHead::take_over(const PoolingHead& other, const std::vector<std::int64_t>& rows) {
  const at::NoGradGuard no_grad;
  for (std::size_t k = 0; k < std::min(blocks_.size(), other.blocks_.size()); ++k) {
    Block& to = blocks_[k];
    const Block& from = other.blocks_[k];
    const bool is_last = k + 1 == blocks_.size();
    const bool same_place = is_last == (k + 1 == other.blocks_.size());
    if (!same_place || to.weight.size(1) != from.weight.size(1)) return k;
    if (!is_last && to.weight.size(0) != from.weight.size(0)) return k;
    to.bn_weight.copy_(from.bn_weight);
    to.bn_bias.copy_(from.bn_bias);
    to.running_mean.copy_(from.running_mean);
    to.running_var.copy_(from.running_var);
    for (std::int64_t r = 0; r < to.weight.size(0); ++r) {
      const std::int64_t source = is_last ? rows.at(static_cast<std::size_t>(r)) : r;
      if (source < 0) continue;
      to.weight[r].copy_(from.weight[source]);
      if (to.bias.defined() && from.bias.defined()) to.bias[r].copy_(from.bias[source]);
    }
  }
  return std::min(blocks_.size(), other.blocks_.size());
}

std::vector<optim::NamedParameter> PoolingHead::parameters() const {
  std::vector<optim::NamedParameter> all;
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    const std::string name = "head." + std::to_string(k);
    all.push_back({name + ".bn.weight", blocks_[k].bn_weight, false});
    all.push_back({name + ".bn.bias", blocks_[k].bn_bias, false});
    all.push_back({name + ".linear.weight", blocks_[k].weight, true});
    if (options_.bias) all.push_back({name + ".linear.bias", blocks_[k].bias, false});
  }
  return all;
}

std::vector<std::pair<std::string, at::Tensor>> PoolingHead::buffers() const {
  std::vector<std::pair<std::string, at::Tensor>> all;
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    const std::string name = "head." + std::to_string(k);
    all.emplace_back(name + ".bn.running_mean", blocks_[k].running_mean);
    all.emplace_back(name + ".bn.running_var", blocks_[k].running_var);
  }
  return all;
}

std::vector<optim::LayerGroup> PoolingHead::groups(const AwdLstm& encoder) const {
  std::vector<optim::LayerGroup> groups = encoder.groups();
  groups.push_back({"head", parameters()});
  return groups;
}

double PoolingHead::probe(const AwdLstm& encoder, const std::vector<std::int64_t>& tokens) {
  const at::NoGradGuard no_grad;
  const std::vector<const std::vector<std::int64_t>*> documents{&tokens};
  const at::Tensor pooled = features(encoder, documents, encoder.batch_weights(0, nullptr), {}, nullptr);
  return at::log_softmax(forward(pooled, {}, nullptr), 1)[0][0].item<double>();
}

}  // namespace ulmfit::model
