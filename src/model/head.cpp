#include "model/head.h"

namespace ulmfit::model {

std::vector<std::pair<std::string, at::Tensor>> tensors_of(const AwdLstm& encoder, const Head& head) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& p : encoder.parameters()) tensors.emplace_back(p.name, p.tensor.detach());
  for (const auto& p : head.parameters()) tensors.emplace_back(p.name, p.tensor.detach());
  for (const auto& buffer : head.buffers()) tensors.push_back(buffer);
  return tensors;
}

}  // namespace ulmfit::model
