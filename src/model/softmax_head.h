// The head of a language model: a linear layer to the vocabulary whose matrix is the encoder's embedding (Inan et al. 2017;
// Press & Wolf 2017), with a bias of its own, under a softmax. Pretraining may approximate the softmax (adaptive_softmax.h,
// sampled_softmax.h); a finished stage has this one.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/awd_lstm.h"
#include "model/head.h"
#include "model/linear_cross_entropy.h"

namespace ulmfit::model {

class SoftmaxHead : public Head {
 public:
  // Tied to that encoder's embedding; its bias is 0, as in fastai.
  explicit SoftmaxHead(const AwdLstm& encoder);

  // The loss under the head's distribution of words, which validations report. hidden [N, E] of the top layer, targets [N]:
  // see linear_cross_entropy.
  virtual CrossEntropy loss(const at::Tensor& hidden, const at::Tensor& targets, double scale, Precision precision) const {
    return linear_cross_entropy(hidden, weight_, bias_, targets, scale, precision);
  }
  // True if loss() is that of the softmax over all words.
  virtual bool is_full() const { return true; }

  // What a training step minimises, after begin_step() with its number: loss(), or an estimate of it.
  virtual CrossEntropy training_loss(const at::Tensor& hidden, const at::Tensor& targets, double scale,
                                     Precision precision) const {
    return loss(hidden, targets, scale, precision);
  }
  virtual void begin_step(std::int64_t /*step*/) {}
  // True if training_loss() is another number than loss(), not to be compared with that of validations.
  virtual bool estimates() const { return false; }

  // The same weights as a head with the softmax over all words.
  SoftmaxHead full() const { return *this; }

  // [V, E]: the embedding's memory as a second leaf. The head's part of the gradient is complete long before the other.
  const at::Tensor& weight() const { return weight_; }
  const at::Tensor& bias() const { return bias_; }  // [V]

  std::vector<optim::NamedParameter> parameters() const override;  // the bias: the matrix is the encoder's
  // rnn0, rnn1, ..., embedding + decoder.
  std::vector<optim::LayerGroup> groups(const AwdLstm& encoder) const override;
  // Mean nats of all tokens but the first.
  double probe(const AwdLstm& encoder, const std::vector<std::int64_t>& tokens) override;

 private:
  at::Tensor weight_;
  at::Tensor bias_;
};

}  // namespace ulmfit::model
