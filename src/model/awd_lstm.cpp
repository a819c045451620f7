#include "model/awd_lstm.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <tuple>

#include "base/activity.h"
#include "base/random.h"
#include "model/dropout.h"
#include "model/flat_weights.h"

namespace ulmfit::model {
namespace {

at::Tensor uniform(at::IntArrayRef sizes, double bound, std::optional<std::uint64_t> seed, std::uint32_t number,
                   at::Device device) {
  if (!seed) return at::empty(sizes, at::TensorOptions(device)).requires_grad_(true);
  at::Tensor tensor = at::empty(sizes, at::kFloat);
  auto* out = tensor.mutable_data_ptr<float>();
  const RandomKey key{*seed, Purpose::kInit, 0, number};
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    out[i] = static_cast<float>((2 * random_uniform(key, static_cast<std::uint64_t>(i)) - 1) * bound);
  }
  return tensor.to(device).requires_grad_(true);
}

at::ScalarType lstm_type(Precision precision) { return precision == Precision::kBfloat16 ? at::kBFloat16 : at::kFloat; }

// One layer over a window, computed in the type of its packed weights or else of its weights: output [T, B, W], of packed
// weights float32 and else in that type, and the states after it, float32 (`for_next_layer`: see block_lstm).
LstmWindow lstm_layer(const at::Tensor& x, const at::Tensor& h, const at::Tensor& c, const LstmWeights& weights,
                      bool for_next_layer) {
  if (weights.packed) {
    return block_lstm(x, h, c, weights.weight_ih, weights.weight_hh, weights.bias_ih + weights.bias_hh, *weights.packed,
                      for_next_layer);
  }
  const at::ScalarType type = weights.weight_hh.scalar_type();
  const auto [output, next_h, next_c] =
      at::lstm(x.to(type), {h.unsqueeze(0).to(type), c.unsqueeze(0).to(type)},
               {weights.weight_ih, weights.weight_hh, weights.bias_ih, weights.bias_hh}, /*has_biases=*/true,
               /*num_layers=*/1, /*dropout=*/0.0, /*train=*/at::GradMode::is_enabled(), /*bidirectional=*/false,
               /*batch_first=*/false);
  return {output, next_h.squeeze(0).to(at::kFloat), next_c.squeeze(0).to(at::kFloat)};
}

// The first layer over words x [T, B] none of which is dropped or masked: equal words have equal input products.
LstmWindow lstm_layer_of_words(const at::Tensor& x, const at::Tensor& embedding, const at::Tensor& h, const at::Tensor& c,
                               const LstmWeights& weights, bool for_next_layer) {
  const auto [words, places] = at::_unique(x, /*sorted=*/true, /*return_inverse=*/true);
  return block_lstm_of_rows(embed(words, embedding, 0, nullptr), places, h, c, weights.bias_ih + weights.bias_hh,
                            *weights.packed, for_next_layer);
}

}  // namespace

std::int64_t Shape::encoder_parameters() const {
  std::int64_t count = vocabulary * embedding;
  for (std::int64_t l = 0; l < layers; ++l) count += 4 * output_width(l) * (input_width(l) + output_width(l) + 2);
  return count;
}

double training_bytes(const Shape& shape, double tokens, std::int64_t ranks) {
  const auto parameters = static_cast<double>(shape.encoder_parameters() + shape.vocabulary);
  double floats = 2.0 * static_cast<double>(shape.embedding);  // embedded, and the dropped top with its gradient
  for (std::int64_t l = 0; l < shape.layers; ++l) {
    // Input, four gates, cell, output and its masked copy.
    floats += static_cast<double>(shape.input_width(l) + 7 * shape.output_width(l));
  }
  return parameters * (8 + 8 / static_cast<double>(ranks)) + 4 * floats * tokens;
}

LstmState LstmState::detached() const {
  LstmState out;
  for (const auto& t : h) out.h.push_back(t.detach());
  for (const auto& t : c) out.c.push_back(t.detach());
  return out;
}

LstmState LstmState::narrow(std::int64_t first, std::int64_t count) const {
  LstmState out;
  for (const auto& t : h) out.h.push_back(t.narrow(0, first, count));
  for (const auto& t : c) out.c.push_back(t.narrow(0, first, count));
  return out;
}

void LstmState::copy_from(const LstmState& other) {
  const at::NoGradGuard no_grad;
  for (std::size_t l = 0; l < h.size(); ++l) h[l].copy_(other.h[l]);
  for (std::size_t l = 0; l < c.size(); ++l) c[l].copy_(other.c[l]);
}

AwdLstm::AwdLstm(const Shape& shape, std::optional<std::uint64_t> seed, at::Device device) : shape_(shape) {
  std::uint32_t number = 0;
  embedding_ = uniform({shape.vocabulary, shape.embedding}, 0.1, seed, number++, device);
  for (std::int64_t l = 0; l < shape.layers; ++l) {
    const std::int64_t width = shape.output_width(l);
    const double bound = 1 / std::sqrt(static_cast<double>(width));
    LstmWeights layer;
    layer.weight_ih = uniform({4 * width, shape.input_width(l)}, bound, seed, number++, device);
    layer.weight_hh = uniform({4 * width, width}, bound, seed, number++, device);
    layer.bias_ih = uniform({4 * width}, bound, seed, number++, device);
    layer.bias_hh = uniform({4 * width}, bound, seed, number++, device);
    layers_.push_back(std::move(layer));
  }
}

LstmState AwdLstm::zero_state(std::int64_t columns) const {
  LstmState state;
  for (std::int64_t l = 0; l < shape_.layers; ++l) {
    state.h.push_back(at::zeros({columns, shape_.output_width(l)}, at::TensorOptions(device())));
    state.c.push_back(at::zeros({columns, shape_.output_width(l)}, at::TensorOptions(device())));
  }
  return state;
}

std::vector<LstmWeights> AwdLstm::batch_weights(double weight_drop, const MaskKey* key) const {
  const Activity activity("weight drop");
  std::vector<LstmWeights> weights = layers_;
  for (std::size_t l = 0; l < weights.size(); ++l) {
    LstmWeights& layer = weights[l];
    const bool drops = key != nullptr && weight_drop > 0;
    const auto number = static_cast<std::uint32_t>(l);
    if (!device().is_cpu()) {
      WeightMask mask;
      if (drops) mask = {draws_of_shared_mask(*key, Purpose::kWeightDropout, number), weight_drop};
      const FlatWeights flat =
          flat_weights({layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh}, mask, lstm_type(precision_));
      layer = {flat.weight_ih, flat.weight_hh, flat.bias_ih, flat.bias_hh, std::nullopt};
      continue;
    }
    if (drops) {
      layer.weight_hh = drop_weights(layer.weight_hh, shared_mask(*key, Purpose::kWeightDropout, number, weight_drop,
                                                                  layer.weight_hh.size(0), layer.weight_hh.size(1)));
    }
    if (has_block_lstm(lstm_type(precision_), layer.weight_ih, layer.weight_hh)) {
      layer.packed = pack_lstm_weights(lstm_type(precision_), layer.weight_ih, layer.weight_hh);
      continue;
    }
    for (at::Tensor* tensor : {&layer.weight_ih, &layer.weight_hh, &layer.bias_ih, &layer.bias_hh}) {
      *tensor = tensor->to(lstm_type(precision_));
    }
  }
  return weights;
}

EncoderOutput AwdLstm::forward(const at::Tensor& x, const LstmState& state, const std::vector<LstmWeights>& weights,
                               const DropoutRates& rates, const MaskKey* key, bool keep_layers) const {
  EncoderOutput out;
  const Activity activity("LSTM and masks");
  const bool plain = key == nullptr && !at::GradMode::is_enabled() && !keep_layers;  // no masks, no backward pass
  const bool of_words = plain && weights[0].packed;
  at::Tensor activations = of_words ? at::Tensor() : embed(x, embedding_, rates.embedding, key);
  if (key != nullptr && rates.input > 0) {
    activations = activations * locked_mask(*key, Purpose::kInputDropout, 0, rates.input, shape_.embedding, device());
  }
  if (keep_layers) out.layers.push_back(activations);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const bool for_next_layer = plain && l + 1 < layers_.size();
    const auto [output, h, c] = of_words && l == 0
                                    ? lstm_layer_of_words(x, embedding_, state.h[l], state.c[l], weights[l], for_next_layer)
                                    : lstm_layer(activations, state.h[l], state.c[l], weights[l], for_next_layer);
    out.next.h.push_back(h);
    out.next.c.push_back(c);
    activations = output;  // between layers in the type that they compute in
    if (keep_layers) out.layers.push_back(output.to(at::kFloat));
    if (key != nullptr && rates.hidden > 0 && l + 1 < layers_.size()) {
      activations = drop_hidden(activations, locked_mask(*key, Purpose::kHiddenDropout, static_cast<std::uint32_t>(l),
                                                         rates.hidden, output.size(2), device()));
    }
  }
  out.top = activations.to(at::kFloat);
  return out;
}

optim::LayerGroup AwdLstm::rnn_group(std::size_t l) const {
  const std::string name = "rnn." + std::to_string(l);
  const LstmWeights& layer = layers_[l];
  return {"rnn" + std::to_string(l),
          {{name + ".weight_ih", layer.weight_ih, true},
           {name + ".weight_hh", layer.weight_hh, true},
           {name + ".bias_ih", layer.bias_ih, true},
           {name + ".bias_hh", layer.bias_hh, true}}};
}

std::vector<optim::LayerGroup> AwdLstm::groups() const {
  std::vector<optim::LayerGroup> groups{{"embedding", {{"embedding.weight", embedding_, true}}}};
  for (std::size_t l = 0; l < layers_.size(); ++l) groups.push_back(rnn_group(l));
  return groups;
}

std::vector<optim::NamedParameter> AwdLstm::parameters() const {
  std::vector<optim::NamedParameter> all;
  for (const auto& group : groups()) all.insert(all.end(), group.parameters.begin(), group.parameters.end());
  return all;
}

}  // namespace ulmfit::model
