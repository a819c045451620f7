// What stands on the encoder: turns its top output into what is learned. An encoder and a head are a whole model; the head
// knows how their parameters are grouped for discriminative rates and gradual unfreezing.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/awd_lstm.h"
#include "optim/param_groups.h"

namespace ulmfit::model {

class Head {
 public:
  virtual ~Head() = default;

  // Its own, by their names in model.safetensors. Buffers are saved with the weights and not trained.
  virtual std::vector<optim::NamedParameter> parameters() const = 0;
  virtual std::vector<std::pair<std::string, at::Tensor>> buffers() const { return {}; }

  // Layer groups of the whole model, shallow to deep.
  virtual std::vector<optim::LayerGroup> groups(const AwdLstm& encoder) const = 0;

  // What the whole model computes of a fixed text, as one number: stored with a stage, and compared when it is read.
  // `tokens`: two at least.
  virtual double probe(const AwdLstm& encoder, const std::vector<std::int64_t>& tokens) = 0;

 protected:
  Head() = default;
  Head(const Head&) = default;
  Head& operator=(const Head&) = default;
};

// Parameters and buffers of encoder and head by their names in model.safetensors, detached; the memory is theirs.
std::vector<std::pair<std::string, at::Tensor>> tensors_of(const AwdLstm& encoder, const Head& head);

}  // namespace ulmfit::model
