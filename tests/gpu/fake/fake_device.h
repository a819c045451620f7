// A device that is none: libtorch's PrivateUse1, whose tensors lie in this process's memory and are computed by the CPU's
// operators. What our code does only away from the CPU runs on it where there is no GPU. An operator that gets tensors of
// both devices is refused, as on CUDA (but for single numbers of the CPU, which CUDA takes in fewer operators). And it
// counts where the host would wait for a GPU, and hands what it copies to pinned memory over only then.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace ulmfit::test {

// Makes the device known to libtorch; the first call does, the others return the same.
at::Device fake_device();

// Since the last call: each place where a host would have waited for a GPU, by the operator that it called: values that it
// reads, operators whose result's shape depends on values, plain copies.
std::vector<std::string> waits_of_the_host();

}  // namespace ulmfit::test
