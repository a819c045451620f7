// The encoder of an AWD-LSTM (Merity et al., "Regularizing and Optimizing LSTM Language Models", 2017): embedding, LSTM
// layers, and all of its five dropouts but the output's, which the task or the head applies. Shapes: T time, B columns
// (streams or documents), E embedding, H hidden, V vocabulary. Gates are in the order input, forget, cell, output, with two
// biases, as cuDNN and PyTorch have them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/block_lstm.h"
#include "model/precision.h"
#include "model/shape.h"
#include "optim/param_groups.h"

namespace ulmfit::model {

// Hidden and cell state of every layer, [B, output_width(layer)] float32. A value: passed in, handed back, never hidden. In
// bfloat16 cuDNN (and at::lstm) take and give both rounded to it, so that cells lose digits at the edges of windows, within
// which cuDNN sums in float32; the CPU's block kernels keep cells in float32 throughout.
struct LstmState {
  std::vector<at::Tensor> h;
  std::vector<at::Tensor> c;
  LstmState detached() const;
  LstmState narrow(std::int64_t first, std::int64_t count) const;  // columns [first, first + count), as views
  void copy_from(const LstmState& other);                          // into this one's memory; outside of autograd
};

// One layer's weights as a batch uses them: the recurrent ones with their DropConnect mask; in the model's precision, or
// float32 beside packed weights in that precision.
struct LstmWeights {
  at::Tensor weight_ih;  // [4 W, input_width]
  at::Tensor weight_hh;  // [4 W, W], W = output_width
  at::Tensor bias_ih;    // [4 W]
  at::Tensor bias_hh;    // [4 W]
  std::optional<PackedLstmWeights> packed;
};

struct EncoderOutput {
  at::Tensor top;                  // [T, B, E] float32, the last layer's output before output dropout
  std::vector<at::Tensor> layers;  // if asked for: the embedded words [T, B, E] and each layer's output [T, B, W]
  LstmState next;
};

class AwdLstm {
 public:
  // Weights drawn as fastai and PyTorch do: embedding uniform in +-0.1, LSTM uniform in +-1/sqrt(H). Without a seed they
  // are whatever was in memory, for a caller that fills all of them: drawing those of the paper's size takes most of a
  // second.
  AwdLstm(const Shape& shape, std::optional<std::uint64_t> seed, at::Device device);

  const Shape& shape() const { return shape_; }
  at::Device device() const { return embedding_.device(); }

  LstmState zero_state(std::int64_t columns) const;

  // In which the LSTM computes from now on. Float32 unless set.
  void set_precision(Precision precision) { precision_ = precision; }
  Precision precision() const { return precision_; }

  // The LSTM's weights of one batch, by layer; key == nullptr: nothing is dropped. Made once a batch and used by all its
  // windows.
  std::vector<LstmWeights> batch_weights(double weight_drop, const MaskKey* key) const;

  // x [T, B] int64. key == nullptr: evaluation, nothing is dropped. Gradients flow into `state` if its tensors want them.
  // `keep_layers`: EncoderOutput::layers is filled.
  EncoderOutput forward(const at::Tensor& x, const LstmState& state, const std::vector<LstmWeights>& weights,
                        const DropoutRates& rates, const MaskKey* key, bool keep_layers = false) const;

  const at::Tensor& embedding() const { return embedding_; }  // [V, E]

  // Its parameters as layer groups, shallow to deep: embedding, rnn0, rnn1, ... How a whole model is grouped: model/head.h.
  std::vector<optim::LayerGroup> groups() const;
  // The same, in that order, by their names in model.safetensors.
  std::vector<optim::NamedParameter> parameters() const;

 private:
  optim::LayerGroup rnn_group(std::size_t layer) const;

  Shape shape_;
  at::Tensor embedding_;
  std::vector<LstmWeights> layers_;
  Precision precision_ = Precision::kFloat32;
};

}  // namespace ulmfit::model
