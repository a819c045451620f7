#include "model/adaptive_softmax.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

#include "base/activity.h"

namespace ulmfit::model {
namespace {

// The block kernels are compiled for each number of rows that they meet: a cluster's is rounded up to a multiple of this.
constexpr std::int64_t kRowUnit = 16;

}  // namespace

AdaptiveSoftmaxHead::AdaptiveSoftmaxHead(const AwdLstm& encoder, std::vector<std::int64_t> cutoffs)
    : SoftmaxHead(encoder), bounds_(std::move(cutoffs)) {
  const auto clusters = static_cast<std::int64_t>(bounds_.size());
  bounds_.push_back(encoder.shape().vocabulary);
  for (std::size_t k = 0; k + 1 < bounds_.size(); ++k) {
    TORCH_CHECK(bounds_[k] >= 1 && bounds_[k] < bounds_[k + 1], "AdaptiveSoftmaxHead: cutoffs must increase within the ",
                bounds_.back(), " words of the vocabulary");
  }
  const at::TensorOptions options(encoder.device());
  cluster_weight_ = at::zeros({clusters, encoder.shape().embedding}, options).requires_grad_(true);
  cluster_bias_ = at::zeros({clusters}, options).requires_grad_(true);
}

std::vector<optim::NamedParameter> AdaptiveSoftmaxHead::parameters() const {
  std::vector<optim::NamedParameter> all = SoftmaxHead::parameters();
  all.push_back({"clusters.weight", cluster_weight_, true});
  all.push_back({"clusters.bias", cluster_bias_, false});
  return all;
}

CrossEntropy AdaptiveSoftmaxHead::loss(const at::Tensor& hidden, const at::Tensor& targets, double scale,
                                       Precision precision) const {
  const Activity activity("head and loss");
  const at::Tensor h = hidden.detach().contiguous(), all_targets = targets.contiguous();
  at::Tensor gradient;
  if (wants_gradients(hidden, weight(), bias())) {
    TORCH_CHECK(!weight().requires_grad() || (cluster_weight_.grad().defined() && cluster_bias_.grad().defined()),
                "AdaptiveSoftmaxHead: the clusters' gradient buffers must exist before the forward pass");
    gradient = at::empty_like(h);
  }
  CrossEntropy result;
  {
    const at::NoGradGuard no_grad;
    at::Tensor first_targets = all_targets.clone();
    std::vector<at::Tensor> rows;  // by cluster
    for (std::size_t k = 0; k + 1 < bounds_.size(); ++k) {
      rows.push_back((all_targets.ge(bounds_[k]) & all_targets.lt(bounds_[k + 1])).nonzero().squeeze(1));
      first_targets.index_fill_(0, rows[k], bounds_[0] + static_cast<std::int64_t>(k));
    }
    result.nats = first_part(h, first_targets, scale, precision, gradient);
    for (std::size_t k = 0; k < rows.size(); ++k) {
      if (rows[k].numel() > 0) result.nats.add_(cluster(k, rows[k], h, all_targets, scale, precision, gradient));
    }
  }
  result.loss =
      loss_with_gradient(result.nats * scale, hidden, gradient, {weight(), bias(), cluster_weight_, cluster_bias_});
  return result;
}

at::Tensor AdaptiveSoftmaxHead::first_part(const at::Tensor& hidden, const at::Tensor& targets, double scale,
                                           Precision precision, const at::Tensor& hidden_gradient) const {
  const std::int64_t words = bounds_[0], clusters = cluster_bias_.size(0);
  LinearLayer layer{at::cat({weight().narrow(0, 0, words), cluster_weight_}),
                    at::cat({bias().narrow(0, 0, words), cluster_bias_})};
  const bool trains = hidden_gradient.defined() && weight().requires_grad();
  if (trains) {
    layer.weight_gradient = at::zeros_like(layer.weight);
    layer.bias_gradient = at::zeros_like(layer.bias);
  }
  const at::Tensor nats = sum_of_cross_entropies(hidden, layer, targets, scale, precision, hidden_gradient);
  if (!trains) return nats;
  weight().grad().narrow(0, 0, words).add_(layer.weight_gradient.narrow(0, 0, words));
  bias().grad().narrow(0, 0, words).add_(layer.bias_gradient.narrow(0, 0, words));
  at::Tensor(cluster_weight_.grad()).add_(layer.weight_gradient.narrow(0, words, clusters));
  at::Tensor(cluster_bias_.grad()).add_(layer.bias_gradient.narrow(0, words, clusters));
  return nats;
}

at::Tensor AdaptiveSoftmaxHead::cluster(std::size_t k, const at::Tensor& rows, const at::Tensor& hidden,
                                        const at::Tensor& targets, double scale, Precision precision,
                                        const at::Tensor& hidden_gradient) const {
  const std::int64_t first = bounds_[k], words = bounds_[k + 1] - first, count = rows.size(0);
  const std::int64_t more = (kRowUnit - count % kRowUnit) % kRowUnit;  // rows that count for nothing: the first one again
  const at::Tensor used = more == 0 ? rows : at::cat({rows, rows.narrow(0, 0, 1).expand({more})});
  at::Tensor in_cluster = targets.index_select(0, used).sub_(first);
  in_cluster.narrow(0, count, more).fill_(-1);
  LinearLayer layer{weight().detach().narrow(0, first, words), bias().detach().narrow(0, first, words)};
  if (hidden_gradient.defined() && weight().requires_grad()) {
    layer.weight_gradient = weight().grad().narrow(0, first, words);
    layer.bias_gradient = bias().grad().narrow(0, first, words);
  }
  const at::Tensor chosen = hidden.index_select(0, used);
  const at::Tensor gradient = hidden_gradient.defined() ? at::empty_like(chosen) : at::Tensor();
  const at::Tensor nats = sum_of_cross_entropies(chosen, layer, in_cluster, scale, precision, gradient);
  if (gradient.defined()) at::Tensor(hidden_gradient).index_add_(0, rows, gradient.narrow(0, 0, count));
  return nats;
}

}  // namespace ulmfit::model
