// Adaptive softmax (Grave et al., "Efficient softmax approximation for GPUs", 2016) over the matrix that is tied to the
// embedding, as AWD-LSTM trains WikiText-103 with (Merity et al., "An Analysis of Neural Language Modeling at Multiple
// Scales", 2018). Words are cut by their ids, which are ordered by frequency, into the frequent ones, [0, c1), and
// clusters, [c1, c2), ..., [cK, V). With logits z(w) = h * weight[w] + bias[w], and y(k) = h * cluster[k] + cluster
// bias[k]:
//
//   p(w)                = exp z(w) / Z0               of a frequent word;  Z0 = sum of exp z over these + sum of exp y
//   p(w in cluster k)   = exp y(k) / Z0 * exp z(w) / Zk                    Zk = sum of exp z over the cluster
//
// A distribution of all words, of which a token needs the first part and, if its next word is in a cluster, that one. It is
// another one than the softmax over all words by the same weights: within a cluster logits may be shifted together.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/softmax_head.h"

namespace ulmfit::model {

class AdaptiveSoftmaxHead : public SoftmaxHead {
 public:
  // `cutoffs`: c1 < c2 < ... < cK, at least one, within 1 and V - 1. The clusters' vectors and biases start at 0.
  AdaptiveSoftmaxHead(const AwdLstm& encoder, std::vector<std::int64_t> cutoffs);

  // As linear_cross_entropy, gradients of the clusters' parameters included.
  CrossEntropy loss(const at::Tensor& hidden, const at::Tensor& targets, double scale, Precision precision) const override;
  bool is_full() const override { return false; }

  // The bias; clusters.weight [K, E] and clusters.bias [K], which are no part of a finished stage.
  std::vector<optim::NamedParameter> parameters() const override;

 private:
  // Each adds to the gradients of what it used, and writes (first part) or adds to (a cluster) `hidden_gradient`; that is
  // undefined if none is made. They return nats (scalar float64).
  at::Tensor first_part(const at::Tensor& hidden, const at::Tensor& targets, double scale, Precision precision,
                        const at::Tensor& hidden_gradient) const;
  at::Tensor cluster(std::size_t k, const at::Tensor& rows, const at::Tensor& hidden, const at::Tensor& targets,
                     double scale, Precision precision, const at::Tensor& hidden_gradient) const;

  std::vector<std::int64_t> bounds_;  // c1, ..., cK, V
  at::Tensor cluster_weight_, cluster_bias_;
};

}  // namespace ulmfit::model
