// Sampled softmax (Jean et al., "On Using Very Large Target Vocabulary for Neural Machine Translation", 2015; Bengio &
// Senecal 2008): a training step computes the softmax over its targets and a few drawn words alone. Validation, and all
// that reads the finished stage, computes the softmax over all words.
//
// A step draws K distinct words S, by id from Zipf's law, P(w) = log((w + 2) / (w + 1)) / log(V + 1), until there are so
// many; with D draws a word is expected Q(w) = 1 - (1 - P(w))^D times among them. The loss of a token with target t is
//
//   -log( exp c(t) / (exp c(t) + sum over w in S without t of exp c(w)) )    c(w) = h * weight[w] + bias[w] - log Q(w)
//
// whose gradient becomes that of the softmax over all words as K grows. S is a pure function of seed and step: all
// micro-batches and ranks share it. It saves products: gradients are exchanged, and weights updated, as of all words.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/softmax_head.h"

namespace ulmfit::model {

// What a step has drawn.
struct WordSample {
  at::Tensor words;        // S, [K] int64 on the CPU, ascending
  std::int64_t draws = 0;  // D
};

// 1 <= count < vocabulary.
WordSample draw_words(std::int64_t vocabulary, std::int64_t count, std::uint64_t seed, std::int64_t step);

// log Q of `words` [n] int64, as float32 on their device.
at::Tensor log_expected_counts(const at::Tensor& words, std::int64_t draws, std::int64_t vocabulary);

class SampledSoftmaxHead : public SoftmaxHead {
 public:
  // 1 <= samples < V.
  SampledSoftmaxHead(const AwdLstm& encoder, std::int64_t samples, std::uint64_t seed);

  void begin_step(std::int64_t step) override;
  bool estimates() const override { return true; }
  // As linear_cross_entropy. In bfloat16 the logits of targets that were not drawn are made in float32 and rounded with
  // their correction, the others before it.
  CrossEntropy training_loss(const at::Tensor& hidden, const at::Tensor& targets, double scale,
                             Precision precision) const override;

 private:
  struct Targets;
  Targets among_the_drawn(const at::Tensor& hidden, const at::Tensor& targets) const;

  std::int64_t samples_;
  std::uint64_t seed_;
  std::int64_t draws_ = 0;
  at::Tensor words_;                // of the step, on the encoder's device
  at::Tensor log_expected_counts_;  // theirs
};

}  // namespace ulmfit::model
