// What the bodies share. They are compiled twice: by NVRTC for the GPU at hand (kernels/compile.h), and as C++ for tests
// (tests/support/host_bodies.h). Whoever compiles them has types.h before, and defines
//   ULMFIT_DEVICE                     stands before each function
//   ULMFIT_BARRIER()                  waits for all threads of the block
//   ULMFIT_BITS(x), ULMFIT_FLOAT(x)   a float's bits, the float of such bits
// and makes expf and logf known.
namespace ulmfit::bodies {

// A thread's place.
struct Thread {
  Word block, blocks;   // number of its block, and of all
  Word index, threads;  // its number in the block, and of the block's; a power of two
  ULMFIT_DEVICE Long number() const { return static_cast<Long>(block) * threads + index; }
  ULMFIT_DEVICE Long count() const { return static_cast<Long>(blocks) * threads; }
};

ULMFIT_DEVICE inline float wide(float x) { return x; }
ULMFIT_DEVICE inline float wide(Bfloat16 x) { return ULMFIT_FLOAT(static_cast<Word>(x.bits) << 16); }

ULMFIT_DEVICE inline void put(float x, float& to) { to = x; }
// To the nearest, of two as near the even one; any NaN becomes one and the same.
ULMFIT_DEVICE inline void put(float x, Bfloat16& to) {
  const Word bits = ULMFIT_BITS(x);
  const Word rounded = x != x ? 0x7FC00000U : bits + 0x7FFFU + ((bits >> 16) & 1U);
  to.bits = static_cast<unsigned short>(rounded >> 16);
}

}  // namespace ulmfit::bodies
