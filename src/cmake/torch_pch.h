// Precompiled for every library that uses tensors. Nothing of ours in here.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
