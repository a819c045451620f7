#include "model/pooling_head.h"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "model/dropout.h"

namespace ulmfit::model {
namespace {

constexpr double kMomentum = 0.1;
constexpr double kEpsilon = 1e-5;
constexpr std::uint32_t kFirstParameter = 1000;  // of the initial draws: apart from the encoder's

}  // namespace

PoolingHead::PoolingHead(std::vector<std::int64_t> widths, std::uint64_t seed, at::Device device)
    : widths_(std::move(widths)) {
  for (std::size_t k = 0; k + 1 < widths_.size(); ++k) {
    const std::int64_t in = widths_[k];
    const std::int64_t out = widths_[k + 1];
    const double bound = 1 / std::sqrt(static_cast<double>(in));  // PyTorch's default for a linear layer
    at::Tensor weight = at::empty({out, in}, at::kFloat);
    const RandomKey key{seed, Purpose::kInit, 0, kFirstParameter + static_cast<std::uint32_t>(k)};
    auto* data = weight.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < weight.numel(); ++i) {
      data[i] = static_cast<float>((2 * random_uniform(key, static_cast<std::uint64_t>(i)) - 1) * bound);
    }
    const at::TensorOptions options(device);
    blocks_.push_back({at::ones({in}, options).requires_grad_(true), at::zeros({in}, options).requires_grad_(true),
                       at::zeros({in}, options), at::ones({in}, options), weight.to(device).requires_grad_(true)});
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
      x = x * locked_mask(*key, Purpose::kHeadDropout, static_cast<std::uint32_t>(k), drops[k], widths_[k], x.device());
    }
    x = at::linear(x, block.weight);
    if (k + 1 < blocks_.size()) x = at::relu(x);
  }
  return x;
}

optim::LayerGroup PoolingHead::group() const {
  optim::LayerGroup group{"head", {}};
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    const std::string name = "head." + std::to_string(k);
    group.parameters.push_back({name + ".bn.weight", blocks_[k].bn_weight, false});
    group.parameters.push_back({name + ".bn.bias", blocks_[k].bn_bias, false});
    group.parameters.push_back({name + ".linear.weight", blocks_[k].weight, true});
  }
  return group;
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

}  // namespace ulmfit::model
