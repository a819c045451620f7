// The kernels of src/kernels, where they have shown that they compute what libtorch's operators do.
#pragma once

#include <c10/core/Device.h>

#include "kernels/launcher.h"

namespace ulmfit::model {

// What starts them on the device; null: use operators. Their results on small tensors are compared with those of operators
// when a device is first asked for, and a difference is told.
kernels::Launcher* kernels_on(c10::Device device);

}  // namespace ulmfit::model
