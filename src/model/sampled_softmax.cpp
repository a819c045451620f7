#include "model/sampled_softmax.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/activity.h"
#include "base/random.h"
#include "model/to_device.h"

namespace ulmfit::model {

WordSample draw_words(std::int64_t vocabulary, std::int64_t count, std::uint64_t seed, std::int64_t step) {
  TORCH_CHECK(count >= 1 && count < vocabulary, "draw_words: expected 1 to ", vocabulary - 1, " words, not ", count);
  const RandomKey key{seed, Purpose::kVocabularySample, static_cast<std::uint64_t>(step)};
  const double log_range = std::log(static_cast<double>(vocabulary) + 1);
  std::vector<bool> drawn(static_cast<std::size_t>(vocabulary));
  WordSample sample;
  for (std::int64_t found = 0; found < count; ++sample.draws) {
    const double u = random_uniform(key, static_cast<std::uint64_t>(sample.draws));
    const auto word = std::min(static_cast<std::int64_t>(std::exp(u * log_range)) - 1, vocabulary - 1);
    found += drawn[static_cast<std::size_t>(word)] ? 0 : 1;
    drawn[static_cast<std::size_t>(word)] = true;
  }
  sample.words = at::empty({count}, at::kLong);
  auto* out = sample.words.mutable_data_ptr<std::int64_t>();
  for (std::int64_t word = 0; word < vocabulary; ++word) {
    if (drawn[static_cast<std::size_t>(word)]) *out++ = word;
  }
  return sample;
}

at::Tensor log_expected_counts(const at::Tensor& words, std::int64_t draws, std::int64_t vocabulary) {
  const double log_range = std::log(static_cast<double>(vocabulary) + 1);
  const at::Tensor p = words.to(at::kDouble).add_(1).reciprocal_().log1p_().div_(log_range);
  return p.neg_().log1p_().mul_(static_cast<double>(draws)).expm1_().neg_().log_().to(at::kFloat);
}

SampledSoftmaxHead::SampledSoftmaxHead(const AwdLstm& encoder, std::int64_t samples, std::uint64_t seed)
    : SoftmaxHead(encoder), samples_(samples), seed_(seed) {
  TORCH_CHECK(samples >= 1 && samples < encoder.shape().vocabulary, "SampledSoftmaxHead: expected 1 to ",
              encoder.shape().vocabulary - 1, " samples, not ", samples);
}

void SampledSoftmaxHead::begin_step(std::int64_t step) {
  const Activity activity("head and loss");
  const WordSample sample = draw_words(weight().size(0), samples_, seed_, step);
  words_ = to_device(sample.words, weight().device());
  draws_ = sample.draws;
  log_expected_counts_ = log_expected_counts(words_, draws_, weight().size(0));
}

// A token's columns are the drawn words and one of its own, the last, for a target that was not drawn. Of a target that was
// the own column has no part in the softmax.
struct SampledSoftmaxHead::Targets {
  at::Tensor columns;     // [N] int64: of the targets; -1 for -1
  at::Tensor own_logits;  // [N] of the own columns
  at::Tensor own_rows;    // [n] of tokens whose target was not drawn
  at::Tensor own_words;   // [n] their targets
};

SampledSoftmaxHead::Targets SampledSoftmaxHead::among_the_drawn(const at::Tensor& hidden, const at::Tensor& targets) const {
  constexpr double kNoPart = -1e30;
  Targets found;
  const at::Tensor place = at::searchsorted(words_, targets).clamp_max_(samples_ - 1);
  const at::Tensor drawn = words_.index_select(0, place).eq(targets);
  const at::Tensor own = drawn.logical_not().logical_and_(targets.ge(0));
  found.columns = at::where(drawn, place, at::where(own, samples_, -1));
  found.own_rows = own.nonzero().squeeze(1);
  found.own_words = targets.index_select(0, found.own_rows);
  TORCH_CHECK(found.own_words.numel() == 0 || found.own_words.max().item<std::int64_t>() < weight().size(0),
              "SampledSoftmaxHead: a target lies outside the ", weight().size(0), " words of the vocabulary");
  const at::Tensor products = hidden.index_select(0, found.own_rows).mul_(weight().index_select(0, found.own_words)).sum(1);
  const at::Tensor corrections =
      bias().index_select(0, found.own_words).sub_(log_expected_counts(found.own_words, draws_, weight().size(0)));
  found.own_logits = at::full({targets.size(0)}, kNoPart, hidden.options());
  found.own_logits.index_copy_(0, found.own_rows, products + corrections);
  return found;
}

CrossEntropy SampledSoftmaxHead::training_loss(const at::Tensor& hidden, const at::Tensor& targets, double scale,
                                               Precision precision) const {
  const Activity activity("head and loss");
  TORCH_CHECK(words_.defined(), "SampledSoftmaxHead: begin_step() must come before training_loss()");
  const at::Tensor h = hidden.detach().contiguous();
  const bool gradient = wants_gradients(hidden, weight(), bias()), trains = gradient && weight().requires_grad();
  const at::Tensor hidden_gradient = gradient ? at::empty_like(h) : at::Tensor();
  CrossEntropy result;
  {
    const at::NoGradGuard no_grad;
    const Targets found = among_the_drawn(h, targets.contiguous());
    const at::Tensor own_column = at::zeros({1, h.size(1)}, h.options());
    LinearLayer layer{at::cat({weight().index_select(0, words_), own_column}),
                      at::cat({bias().index_select(0, words_) - log_expected_counts_, own_column.select(1, 0)})};
    layer.last_logits = found.own_logits;
    if (gradient) layer.last_gradient = at::empty_like(found.own_logits);
    if (trains) {
      layer.weight_gradient = at::zeros_like(layer.weight);
      layer.bias_gradient = at::zeros_like(layer.bias);
    }
    result.nats = sum_of_cross_entropies(h, layer, found.columns, scale, precision, hidden_gradient);
    if (gradient) {
      const at::Tensor own = layer.last_gradient.index_select(0, found.own_rows);
      at::Tensor(hidden_gradient)
          .index_add_(0, found.own_rows, weight().index_select(0, found.own_words).mul_(own.unsqueeze(1)));
      if (trains) {
        weight().mutable_grad().index_add_(0, words_, layer.weight_gradient.narrow(0, 0, samples_));
        bias().mutable_grad().index_add_(0, words_, layer.bias_gradient.narrow(0, 0, samples_));
        weight().mutable_grad().index_add_(0, found.own_words, h.index_select(0, found.own_rows).mul_(own.unsqueeze(1)));
        bias().mutable_grad().index_add_(0, found.own_words, own);
      }
    }
  }
  result.loss = loss_with_gradient(result.nats * scale, hidden, hidden_gradient, {weight(), bias()});
  return result;
}

}  // namespace ulmfit::model
