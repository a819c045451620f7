// The classifier's head (Howard & Ruder 2018): the encoder's output over a document pooled to [last, max, mean], then
// blocks of batch norm, dropout and linear with ReLU between them (fastai's LinBnDrop), to one logit a class.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/document_pooling.h"
#include "model/head.h"
#include "model/shape.h"
#include "optim/param_groups.h"

namespace ulmfit::model {

struct PoolingHeadOptions {
  std::vector<std::int64_t> widths;  // input 3 E, hidden ..., classes, such as {1200, 50, 2}
  Bpt3cOptions bpt3c = {};           // how documents are pooled
  bool bias = false;                 // of the linear layers; batch norm makes up for it, but models of fastai v1 have it
};

class PoolingHead : public Head {
 public:
  PoolingHead(PoolingHeadOptions options, std::uint64_t seed, at::Device device);

  // Documents through the encoder: [B, 3 E], see pool_documents.
  at::Tensor features(const AwdLstm& encoder, std::span<const std::vector<std::int64_t>* const> documents,
                      const std::vector<LstmWeights>& weights, const DropoutRates& rates, const MaskKey* key,
                      ActivationSums* sums = nullptr, NextTokenLoss* next_tokens = nullptr) const {
    return pool_documents(encoder, documents, weights, options_.bpt3c, rates, key, sums, next_tokens);
  }

  // features [B, widths.front()] of the whole global batch -> logits [B, classes]. drops[k] is the dropout of block k.
  // key == nullptr: evaluation, with the running batch-norm statistics; else batch statistics, and the running ones move
  // (momentum 0.1, as PyTorch) when `update_statistics`. Training needs B >= 2: ConfigError.
  at::Tensor forward(const at::Tensor& features, const std::vector<double>& drops, const MaskKey* key,
                     bool update_statistics = true);

  // Copies the leading blocks of `other` that take and give vectors of the same widths, with their statistics; of the last
  // layer row r from other's row `rows[r]` (-1: stays), if all blocks before it agree. How many blocks were copied.
  std::size_t take_over(const PoolingHead& other, const std::vector<std::int64_t>& rows);

  const PoolingHeadOptions& options() const { return options_; }
  std::size_t blocks() const { return blocks_.size(); }
  std::int64_t classes() const { return options_.widths.back(); }

  std::vector<optim::NamedParameter> parameters() const override;
  std::vector<std::pair<std::string, at::Tensor>> buffers() const override;  // batch norm's running statistics
  // embedding, rnn0, rnn1, ..., head.
  std::vector<optim::LayerGroup> groups(const AwdLstm& encoder) const override;
  // Log-probability of the first class.
  double probe(const AwdLstm& encoder, const std::vector<std::int64_t>& tokens) override;

 private:
  struct Block {
    at::Tensor bn_weight, bn_bias, running_mean, running_var, weight;
    at::Tensor bias;  // undefined without one
  };
  PoolingHeadOptions options_;
  std::vector<Block> blocks_;
};

}  // namespace ulmfit::model
