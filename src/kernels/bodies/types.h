// The types of the kernels' parameters, the same on the host and on the GPU. Like all headers of this folder it is read by
// NVRTC too, which can include nothing.
#ifndef ULMFIT_KERNELS_TYPES
#define ULMFIT_KERNELS_TYPES

namespace ulmfit::bodies {

using Word = unsigned int;        // 32 bits
using Long = unsigned long long;  // 64 bits

struct Bfloat16 {
  unsigned short bits;
};

// How a mask is drawn: a RandomKey, the threshold below which a word keeps its element, the factor of those that are kept.
struct MaskDraws {
  Long seed, step, threshold;
  const Long* clock;  // what the step is counted from, on the device; null: 0
  Word purpose, stream;
  float kept;
};

}  // namespace ulmfit::bodies

#endif
