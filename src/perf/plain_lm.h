// The AWD-LSTM language model as a plain loop would train it, for comparison: one at::lstm a layer, all dropouts by torch's
// own operators (embedding dropout on the whole matrix, weight drop as a masked copy), logits of all tokens at once,
// cross_entropy, automatic differentiation throughout, torch's AdamW and gradient clipping. Nothing of ours but the data.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "model/awd_lstm.h"
#include "model/shape.h"
#include "stages/options.h"

namespace ulmfit::perf {

class PlainLm {
 public:
  // Starts from a copy of `start`'s weights and computes in its precision; `seed` is that of the dropout masks.
  PlainLm(const model::AwdLstm& start, const model::DropoutRates& rates, const stages::OptimOptions& optim, double ar,
          double tar, std::int64_t streams, std::uint64_t seed);
  ~PlainLm();
  PlainLm(const PlainLm&) = delete;
  PlainLm& operator=(const PlainLm&) = delete;

  // x, y [T, streams] int64. One step; the state is carried to the next. Returns the mean loss in nats.
  double train_step(const at::Tensor& x, const at::Tensor& y);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ulmfit::perf
