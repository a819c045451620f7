// The norm of all gradients together, and clipping by it.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace ulmfit::optim {

// Euclidean norm over all elements of all tensors, a scalar float64 on their device, accumulated in float64 in one fixed
// order: on a CPU the same bits for any number of threads. Tensors are float32 or float64 (std::invalid_argument
// otherwise). Reading it waits for a GPU.
at::Tensor global_norm(const std::vector<at::Tensor>& gradients);

// Scales all gradients in place by max_norm / norm if norm > max_norm. `norm` is global_norm's, and finite.
void clip_(const std::vector<at::Tensor>& gradients, double norm, double max_norm);

}  // namespace ulmfit::optim
