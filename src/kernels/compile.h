// Compiles the kernels of bodies/ for a GPU by NVRTC, which comes with libtorch for CUDA; nvcc is not needed.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/file.h"

namespace ulmfit::kernels {

// The text of all kernels.
std::string source();

class Nvrtc {
 public:
  virtual ~Nvrtc() = default;
  virtual std::string version() const = 0;  // "13.0"
  // The binary code of `source()` for GPUs of `architecture`, such as "sm_90". Throws std::runtime_error with the
  // compiler's words.
  virtual std::string compile(const std::string& architecture) const = 0;
};

// The library, or null and in `why` the reason: it is not where libraries are looked for.
std::unique_ptr<Nvrtc> load_nvrtc(std::string& why);

// ~/.cache/ulmfit/kernels, or below XDG_CACHE_HOME; empty: neither is known.
fs::path cache_folder();

// Code for `architecture` from a file of `cache`, named by compiler, text and architecture; or compiled, and kept there if
// that is possible. Code that `loads` refuses is compiled anew; throws what compile() throws, and std::runtime_error if
// what was compiled is refused too.
void load_code(const Nvrtc& nvrtc, const std::string& architecture, const fs::path& cache,
               const std::function<bool(const std::string& code)>& loads);

}  // namespace ulmfit::kernels
