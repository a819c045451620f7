// Inner loops of our own that vector units speed up, built for several instruction sets in one program. Which of them runs
// is decided when they are called, so that a test can ask for a lower one than the machine has.
#pragma once

namespace ulmfit {

enum class CpuLevel { kDefault, kAvx2, kAvx512 };

// The best of this machine. The environment variable ULMFIT_CPU_CAPABILITY (default, avx2 or avx512, as ATen's
// ATEN_CPU_CAPABILITY) may lower it; it is read once. Throws ConfigError for another value, and for one that the machine
// does not have.
CpuLevel cpu_level();

#if defined(__x86_64__)
template <auto Body, class... Args>
__attribute__((target("arch=x86-64-v3"))) void run_for_avx2(Args... args) {
  Body(args...);
}
template <auto Body, class... Args>
__attribute__((target("arch=x86-64-v4"))) void run_for_avx512(Args... args) {
  Body(args...);
}
#endif

// Calls Body(args...), a function that is always inlined, as it is built for cpu_level(). Arguments travel by value.
template <auto Body, class... Args>
void run_cpu_clone(Args... args) {
#if defined(__x86_64__)
  switch (cpu_level()) {
    case CpuLevel::kAvx512:
      return run_for_avx512<Body>(args...);
    case CpuLevel::kAvx2:
      return run_for_avx2<Body>(args...);
    case CpuLevel::kDefault:
      break;
  }
#endif
  Body(args...);
}

}  // namespace ulmfit
