// Which tokens of a text a classifier's answer rests on.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/awd_lstm.h"
#include "model/pooling_head.h"

namespace ulmfit::model {

// [classes, n] for a document of n tokens, on the CPU: what token t adds to the logit of class c through the max-pool. Each
// feature of the max-pool comes from one token, which won it; its share of the logit is its value times the logit's
// derivative (gradient times input, Shrikumar et al. 2017), and a token's is the sum over the features that it won. What
// last state and mean add is left out. In evaluation mode.
at::Tensor token_shares(const AwdLstm& encoder, PoolingHead& head, const std::vector<LstmWeights>& weights,
                        const std::vector<std::int64_t>& document);

}  // namespace ulmfit::model
