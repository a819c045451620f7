// The most memory that this process has taken so far.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace ulmfit::stages {

struct PeakMemory {
  std::uint64_t host = 0;            // bytes
  std::optional<std::uint64_t> gpu;  // what tensors took of it
};
PeakMemory peak_memory(at::Device device);
void forget_peak(at::Device device);  // both peaks start anew from what is taken now

}  // namespace ulmfit::stages
