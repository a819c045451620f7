#include "model/softmax_head.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

namespace ulmfit::model {

SoftmaxHead::SoftmaxHead(const AwdLstm& encoder)
    : weight_(encoder.embedding().detach().requires_grad_(true)),
      bias_(at::zeros({encoder.shape().vocabulary}, at::TensorOptions(encoder.device())).requires_grad_(true)) {}

std::vector<optim::NamedParameter> SoftmaxHead::parameters() const { return {{"decoder.bias", bias_, false}}; }

std::vector<optim::LayerGroup> SoftmaxHead::groups(const AwdLstm& encoder) const {
  std::vector<optim::LayerGroup> groups = encoder.groups();
  optim::LayerGroup embedding = std::move(groups.front());
  groups.erase(groups.begin());
  embedding.name = "embedding+decoder";
  for (auto& parameter : parameters()) embedding.parameters.push_back(std::move(parameter));
  groups.push_back(std::move(embedding));
  return groups;
}

double SoftmaxHead::probe(const AwdLstm& encoder, const std::vector<std::int64_t>& tokens) {
  const at::NoGradGuard no_grad;
  const auto targets = static_cast<std::int64_t>(tokens.size()) - 1;
  const at::Tensor ids = at::tensor(tokens, at::kLong).to(encoder.device());
  const EncoderOutput out = encoder.forward(ids.narrow(0, 0, targets).unsqueeze(1), encoder.zero_state(1),
                                            encoder.batch_weights(0, nullptr), {}, nullptr);
  return loss(out.top.squeeze(1), ids.narrow(0, 1, targets), 1.0, encoder.precision()).nats.item<double>() /
         static_cast<double>(targets);
}

}  // namespace ulmfit::model
