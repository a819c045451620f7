// The classifier's head (Howard & Ruder 2018): blocks of batch norm, dropout, linear without bias, ReLU between them (as
// fastai's LinBnDrop), from the pooled features to one logit a class.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/shape.h"
#include "optim/param_groups.h"

namespace ulmfit::model {

class PoolingHead {
 public:
  // widths: input, hidden ..., classes, such as {1200, 50, 2}.
  PoolingHead(std::vector<std::int64_t> widths, std::uint64_t seed, at::Device device);

  // features [B, widths.front()] of the whole global batch -> logits [B, classes]. drops[k] is the dropout of block k.
  // key == nullptr: evaluation, with the running batch-norm statistics; else batch statistics, and the running ones move
  // (momentum 0.1, as PyTorch) when `update_statistics`. Training needs B >= 2: ConfigError.
  at::Tensor forward(const at::Tensor& features, const std::vector<double>& drops, const MaskKey* key,
                     bool update_statistics = true);

  const std::vector<std::int64_t>& widths() const { return widths_; }
  optim::LayerGroup group() const;                                  // trained
  std::vector<std::pair<std::string, at::Tensor>> buffers() const;  // running statistics, saved with the weights

 private:
  struct Block {
    at::Tensor bn_weight, bn_bias, running_mean, running_var, weight;
  };
  std::vector<std::int64_t> widths_;
  std::vector<Block> blocks_;
};

}  // namespace ulmfit::model
