#include "model/token_shares.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace ulmfit::model {
namespace {

// Of the top layer's outputs for the tokens [start, n) of a document of n, window by window. [E] each.
struct Pools {
  at::Tensor last, highest, mean;
  at::Tensor winners;  // which token each feature of `highest` comes from

  void add(const at::Tensor& outputs, std::int64_t first) {
    auto [high, where] = outputs.max(0);
    where += first;
    last = outputs[outputs.size(0) - 1];
    mean = mean.defined() ? mean + outputs.sum(0) : outputs.sum(0);
    if (highest.defined()) {
      winners = at::where(high > highest, where, winners);
      highest = at::maximum(high, highest);
    } else {
      winners = where;
      highest = high;
    }
  }
};

Pools pools_of(const AwdLstm& encoder, const std::vector<LstmWeights>& weights, const std::vector<std::int64_t>& document,
               std::int64_t start, std::int64_t window) {
  const at::NoGradGuard no_grad;
  const at::Tensor tokens = at::tensor(document, at::kLong).to(encoder.embedding().device()).unsqueeze(1);
  LstmState state = encoder.zero_state(1);
  Pools pools;
  for (std::int64_t first = 0; first < tokens.size(0); first += window) {
    const std::int64_t count = std::min(window, tokens.size(0) - first);
    const EncoderOutput out = encoder.forward(tokens.narrow(0, first, count), state, weights, {}, nullptr);
    state = out.next;
    const std::int64_t before = std::max(start - first, std::int64_t{0});
    if (before < count) pools.add(out.top.squeeze(1).narrow(0, before, count - before), first + before);
  }
  pools.mean.div_(static_cast<double>(tokens.size(0) - start));
  return pools;
}

}  // namespace

at::Tensor token_shares(const AwdLstm& encoder, PoolingHead& head, const std::vector<LstmWeights>& weights,
                        const std::vector<std::int64_t>& document) {
  const Bpt3cOptions& bpt3c = head.options().bpt3c;
  const auto n = static_cast<std::int64_t>(document.size());
  const std::int64_t pooled = bpt3c.pool_all ? n : std::min(n, reached_tokens(n, bpt3c));
  const Pools pools = pools_of(encoder, weights, document, n - pooled, bpt3c.window);
  at::Tensor features = at::cat({pools.last, pools.highest, pools.mean}).unsqueeze(0);
  at::Tensor shares = at::zeros({head.classes(), n}, features.options());
  const at::AutoGradMode grad(true);
  features.requires_grad_();
  const at::Tensor logits = head.forward(features, {}, nullptr);
  for (std::int64_t c = 0; c < head.classes(); ++c) {
    const auto gradient = torch::autograd::grad({logits[0][c]}, {features}, {}, /*retain_graph=*/true);
    const at::Tensor of_max = gradient[0][0].narrow(0, pools.highest.size(0), pools.highest.size(0));
    shares[c].index_add_(0, pools.winners, of_max * pools.highest);
  }
  return shares.cpu();
}

}  // namespace ulmfit::model
