#include "base/cpu_clones.h"

#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace ulmfit {
namespace {

CpuLevel level_of_machine() {
#if defined(__x86_64__) && !defined(__clang__)  // clang-tidy 14 does not know these names
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return CpuLevel::kAvx512;
  if (__builtin_cpu_supports("x86-64-v3")) return CpuLevel::kAvx2;
#endif
  return CpuLevel::kDefault;
}

CpuLevel chosen_level() {
  constexpr const char* kVariable = "ULMFIT_CPU_CAPABILITY";
  const CpuLevel best = level_of_machine();
  const char* text = std::getenv(kVariable);
  if (text == nullptr) return best;
  const std::string_view wanted(text);
  const CpuLevel level = wanted == "avx512" ? CpuLevel::kAvx512 : wanted == "avx2" ? CpuLevel::kAvx2 : CpuLevel::kDefault;
  if (level == CpuLevel::kDefault && wanted != "default") {
    throw ConfigError(str(kVariable, "=", wanted, ": expected default, avx2 or avx512"));
  }
  if (level > best) throw ConfigError(str(kVariable, "=", wanted, ": this machine does not have these instructions"));
  return level;
}

}  // namespace

CpuLevel cpu_level() {
  static const CpuLevel level = chosen_level();
  return level;
}

}  // namespace ulmfit
