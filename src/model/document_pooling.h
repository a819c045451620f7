// BPTT for text classification (BPT3C, Howard & Ruder 2018): documents of any length run through the encoder window by
// window, each window starting from the last one's final state, and [last state, max, mean] are pooled over time.
//
// A document of n tokens takes ceil(n / window) windows; all documents of a batch end in its last window, so shorter ones
// join later and no padding is computed but in the last window, where it is masked; without gradients it ends there with
// the quarter of the window in which the document does. What a document yields does not depend on the other documents of
// its batch. Memory is bounded by the window and the back-propagated length, not by the document.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/awd_lstm.h"

namespace ulmfit::model {

struct Bpt3cOptions {
  std::int64_t window = 70;    // tokens
  std::int64_t length = 1400;  // gradients reach this far back from the end of a document, in whole windows
  bool detach = true;          // cut the gradient of the state between windows (fastai); else it flows through
  bool pool_all = true;        // pool over the whole document; else over the last `length` tokens (fastai)
  bool window_masks = true;  // other dropout masks in each window, but for the recurrent weights'; else one set a document
};

// Of a document of n tokens, those that gradients reach.
std::int64_t reached_tokens(std::int64_t n, const Bpt3cOptions& options);

// Sums over the tokens that gradients reach, padding left out; scalars with a graph.
struct ActivationSums {
  at::Tensor squares;  // of the top layer's output (activation regularisation, Merity et al. 2017)
  at::Tensor changes;  // squared, from a token to the next of the same document, also into the next window (temporal a. r.)
};

// The language model's loss on the documents, for a joint one (Dai & Le 2015; Radford et al. 2018): of each token that
// gradients reach, the cross-entropy of the token after it under the softmax over the tied embedding. A document's last
// token has none after it. The top layer's output is taken undropped, as for the sums above.
struct NextTokenLoss {
  at::Tensor bias;   // [V] of that softmax; it is not trained
  double scale = 1;  // of the sum over tokens
  at::Tensor loss;   // filled in: scalar with a graph; undefined if there is no token to predict
};

// documents[i]: its token ids, at least one. `key.streams[i]` keys document i's masks; key == nullptr: evaluation.
// Returns [B, 3 E] = [last, max, mean] of the top layer, row i for documents[i]. `sums`, if given, is filled where
// gradients are computed; of no document, its tensors stay undefined. So is `next_tokens`, whose loss adds to the gradient
// of the embedding in the forward pass (see linear_cross_entropy).
at::Tensor pool_documents(const AwdLstm& encoder, std::span<const std::vector<std::int64_t>* const> documents,
                          const std::vector<LstmWeights>& weights, const Bpt3cOptions& options, const DropoutRates& rates,
                          const MaskKey* key, ActivationSums* sums = nullptr, NextTokenLoss* next_tokens = nullptr);

}  // namespace ulmfit::model
