#include "model/to_device.h"

#include <ATen/ATen.h>

namespace ulmfit::model {

at::Tensor to_device(const at::Tensor& tensor, at::Device device) {
  if (device.is_cpu() || tensor.numel() == 0) return tensor.to(device);
  return tensor.pin_memory().to(tensor.options().device(device), /*non_blocking=*/true);
}

}  // namespace ulmfit::model
