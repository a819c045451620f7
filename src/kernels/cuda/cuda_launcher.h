// The kernels on a GPU. The one place that loads and starts them.
#pragma once

#include <c10/core/Device.h>

#include <memory>

#include "kernels/launcher.h"

namespace ulmfit::kernels {

// Throws std::runtime_error where NVRTC is missing, or does not know the GPU.
std::unique_ptr<Launcher> make_cuda_launcher(c10::DeviceIndex gpu);

}  // namespace ulmfit::kernels
