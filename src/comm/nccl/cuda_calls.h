// The calls of gpu_calls.h to CUDA and NCCL. The one place that needs their libraries.
#pragma once

#include <memory>
#include <string>

#include "comm/nccl/gpu_calls.h"

namespace ulmfit::comm {

std::unique_ptr<GpuCalls> make_cuda_calls();

// Name, multiprocessors and compute capability.
std::string gpu_model(int gpu);

}  // namespace ulmfit::comm
