#include "model/token_shares.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace ulmfit::model {
namespace {

// [n, E]: the top layer's output for each token.
at::Tensor top_outputs(const AwdLstm& encoder, const std::vector<LstmWeights>& weights,
                       const std::vector<std::int64_t>& document, std::int64_t window) {
  const at::NoGradGuard no_grad;
  const at::Tensor tokens = at::tensor(document, at::kLong).to(encoder.embedding().device()).unsqueeze(1);
  LstmState state = encoder.zero_state(1);
  std::vector<at::Tensor> tops;
  for (std::int64_t first = 0; first < tokens.size(0); first += window) {
    const std::int64_t count = std::min(window, tokens.size(0) - first);
    const EncoderOutput out = encoder.forward(tokens.narrow(0, first, count), state, weights, {}, nullptr);
    state = out.next;
    tops.push_back(out.top.squeeze(1));
  }
  return at::cat(tops);
}

}  // namespace

at::Tensor token_shares(const AwdLstm& encoder, PoolingHead& head, const std::vector<LstmWeights>& weights,
                        const std::vector<std::int64_t>& document) {
  const Bpt3cOptions& bpt3c = head.options().bpt3c;
  const at::Tensor tops = top_outputs(encoder, weights, document, bpt3c.window);
  const std::int64_t pooled = bpt3c.pool_all ? tops.size(0) : std::min(tops.size(0), reached_tokens(tops.size(0), bpt3c));
  const at::Tensor seen = tops.narrow(0, tops.size(0) - pooled, pooled);
  const auto [highest, winners] = seen.max(0);
  at::Tensor features = at::cat({seen[pooled - 1], highest, seen.mean(0)}).unsqueeze(0);

  at::Tensor shares = at::zeros({head.classes(), tops.size(0)}, seen.options());
  const at::Tensor places = winners + (tops.size(0) - pooled);
  const at::AutoGradMode grad(true);
  features.requires_grad_();
  const at::Tensor logits = head.forward(features, {}, nullptr);
  for (std::int64_t c = 0; c < head.classes(); ++c) {
    const auto gradient = torch::autograd::grad({logits[0][c]}, {features}, {}, /*retain_graph=*/true);
    const at::Tensor of_max = gradient[0][0].narrow(0, highest.size(0), highest.size(0));
    shares[c].index_add_(0, places, of_max * highest);
  }
  return shares.cpu();
}

}  // namespace ulmfit::model
