// Sums of bfloat16 numbers in float32, on CPUs in one fixed order. ATen's additions and sums over two types first copy the
// whole tensor into the wider one.
#pragma once

#include <ATen/core/Tensor.h>

namespace ulmfit::model {

// sum += part; sum float32, part bfloat16 of the same shape, both contiguous.
void add_rounded(at::Tensor sum, const at::Tensor& part);

// sum += a * b and true, on a GPU whose libtorch has a product that adds so, without a tensor for a * b; else nothing is
// done, and false (told once). sum [m, n] float32; a [m, k] and b [k, n] bfloat16. A process has one kind of GPU.
bool add_rounded_product(at::Tensor sum, const at::Tensor& a, const at::Tensor& b);

// sum[j] += the sum over i of part[i, j], rows in order; sum [n] float32, part [m, n] bfloat16, contiguous.
void add_rounded_rows(at::Tensor sum, const at::Tensor& part);

}  // namespace ulmfit::model
