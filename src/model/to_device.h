#pragma once

#include <ATen/core/Tensor.h>

namespace ulmfit::model {

// A tensor of the CPU on `device`; on the CPU itself. A plain copy to a GPU waits until the GPU has done all that it was
// given before; this one goes through pinned memory and waits for nothing.
at::Tensor to_device(const at::Tensor& tensor, at::Device device);

}  // namespace ulmfit::model
