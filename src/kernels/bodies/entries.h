// The kernels that can be started, for NVRTC alone.
namespace ulmfit::bodies {

__device__ inline Thread here() { return {blockIdx.x, gridDim.x, threadIdx.x, blockDim.x}; }

}  // namespace ulmfit::bodies

#define ULMFIT_MASKED_COPY(name, In, Out)                                                            \
  extern "C" __global__ void name(const In* in, Out* out, Long n, ulmfit::bodies::MaskDraws draws) { \
    ulmfit::bodies::masked_copy(ulmfit::bodies::here(), in, out, n, draws);                          \
  }

#define ULMFIT_SOFTMAX(Number, suffix)                                                                                  \
  extern "C" __global__ void row_losses_##suffix(const Number* logits, const float* bias, const long long* targets,     \
                                                 float* log_sums, float* losses, Long columns) {                        \
    __shared__ float maxima[ULMFIT_THREADS], sums[ULMFIT_THREADS];                                                      \
    ulmfit::bodies::row_losses(ulmfit::bodies::here(), logits, bias, targets, log_sums, losses, columns, maxima, sums); \
  }                                                                                                                     \
  extern "C" __global__ void row_gradients_##suffix(Number* logits, const float* bias, const long long* targets,        \
                                                    const float* log_sums, float* bias_sums, Long rows, Long columns,   \
                                                    Long height, float scale) {                                         \
    ulmfit::bodies::row_gradients(ulmfit::bodies::here(), logits, bias, targets, log_sums, bias_sums, rows, columns,    \
                                  height, scale);                                                                       \
  }

using ulmfit::bodies::Bfloat16;
using ulmfit::bodies::Long;

ULMFIT_MASKED_COPY(masked_copy_float_float, float, float)
ULMFIT_MASKED_COPY(masked_copy_float_bfloat16, float, Bfloat16)
ULMFIT_MASKED_COPY(masked_copy_bfloat16_float, Bfloat16, float)
ULMFIT_SOFTMAX(float, float)
ULMFIT_SOFTMAX(Bfloat16, bfloat16)

extern "C" __global__ void locked_masks(const long long* streams, float* out, Long rows, Long width,
                                        ulmfit::bodies::MaskDraws draws) {
  ulmfit::bodies::locked_masks(ulmfit::bodies::here(), streams, out, rows, width, draws);
}

extern "C" __global__ void mask_at(const long long* places, float* out, Long n, ulmfit::bodies::MaskDraws draws) {
  ulmfit::bodies::mask_at(ulmfit::bodies::here(), places, out, n, draws);
}
