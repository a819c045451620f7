// What an AWD-LSTM is made of, as plain numbers.
#pragma once

#include <cstdint>
#include <vector>

namespace ulmfit::model {

struct Shape {
  std::int64_t vocabulary = 0;
  std::int64_t embedding = 400;  // E; also the width of the last layer, which the tied head needs
  std::int64_t hidden = 1152;    // H of every layer but the last (the paper: 1150)
  std::int64_t layers = 3;

  std::int64_t input_width(std::int64_t layer) const { return layer == 0 ? embedding : hidden; }
  std::int64_t output_width(std::int64_t layer) const { return layer == layers - 1 ? embedding : hidden; }
  std::int64_t encoder_parameters() const;
  bool operator==(const Shape&) const = default;
};

// Bytes of a rank at least: float32 weights, gradients and two moments (shared among `ranks` of them), and what backward
// needs of the `tokens` tokens that are computed at once.
double training_bytes(const Shape& shape, double tokens, std::int64_t ranks);

// Shares dropped, each in [0, 1). Defaults are fastai's for the language model.
struct DropoutRates {
  double output = 0.1;      // last layer's output, one mask over time (classifier: the pooled features)
  double hidden = 0.15;     // between layers, one mask over time
  double input = 0.25;      // after the embedding, one mask over time
  double embedding = 0.02;  // whole rows: word types
  double weight = 0.2;      // recurrent weights (DropConnect), one mask a batch

  DropoutRates scaled(double factor) const {
    return {output * factor, hidden * factor, input * factor, embedding * factor, weight * factor};
  }
};

// Whose masks: a training step and the global streams (or document slots) that the columns of a batch are.
struct MaskKey {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::vector<std::uint32_t> streams;
  std::uint32_t window = 0;  // of the documents, 0 their last: other masks in each
};

}  // namespace ulmfit::model
