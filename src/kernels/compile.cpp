#include "kernels/compile.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/machine.h"
#include "kernels/embedded.h"
#include "kernels/launcher.h"

namespace ulmfit::kernels {
namespace {

// NVRTC's interface, which has not changed since CUDA 11: its header is in no wheel that set-up fetches.
using Program = void*;
struct Functions {
  const char* (*error_string)(int);
  int (*version)(int* major, int* minor);
  int (*create)(Program*, const char* source, const char* name, int headers, const char* const* texts,
                const char* const* names);
  int (*destroy)(Program*);
  int (*compile)(Program, int options, const char* const*);
  int (*code_size)(Program, std::size_t*);
  int (*code)(Program, char*);
  int (*log_size)(Program, std::size_t*);
  int (*log)(Program, char*);
};

constexpr const char* kStandard = "--std=c++17";

class LoadedNvrtc : public Nvrtc {
 public:
  explicit LoadedNvrtc(const Functions& functions) : call_(functions) {}

  std::string version() const override {
    int major = 0, minor = 0;
    check(call_.version(&major, &minor), "nvrtcVersion");
    return str(major, '.', minor);
  }

  std::string compile(const std::string& architecture) const override {
    Program program = nullptr;
    const std::string text = source();
    check(call_.create(&program, text.c_str(), "ulmfit.cu", 0, nullptr, nullptr), "nvrtcCreateProgram");
    const std::unique_ptr<Program, int (*)(Program*)> owner(&program, call_.destroy);
    const std::string target = "--gpu-architecture=" + architecture;
    const std::vector<const char*> options{target.c_str(), kStandard};
    const int compiled = call_.compile(program, static_cast<int>(options.size()), options.data());
    if (compiled != 0) {
      throw std::runtime_error(str("NVRTC ", version(), " does not compile the kernels for ", architecture, ": ",
                                   call_.error_string(compiled), "\n", log_of(program)));
    }
    std::size_t size = 0;
    check(call_.code_size(program, &size), "nvrtcGetCUBINSize");
    std::string code(size, '\0');
    check(call_.code(program, code.data()), "nvrtcGetCUBIN");
    return code;
  }

 private:
  void check(int result, const char* call) const {
    if (result != 0) throw std::runtime_error(str(call, " failed: ", call_.error_string(result)));
  }
  std::string log_of(Program program) const {
    std::size_t size = 0;
    if (call_.log_size(program, &size) != 0) return "";
    std::string text(size, '\0');
    return call_.log(program, text.data()) == 0 ? text : "";
  }

  Functions call_;
};

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

// The code in a file, behind its checksum on the first line; nothing where it is not there, or not whole: a GPU's driver
// does not ask how long code is.
std::optional<std::string> kept(const fs::path& file) {
  std::error_code error;
  if (!fs::exists(file, error) || error) return std::nullopt;
  try {
    const std::string content = read_file(file);
    const std::size_t line = std::min(content.find('\n'), content.size());
    std::string code = content.substr(std::min(line + 1, content.size()));
    if (fingerprint(code) == content.substr(0, line)) return code;
  } catch (const FileError&) {  // compiled anew
  }
  return std::nullopt;
}

// By a name of this process's own: ranks that begin together compile the same.
void keep(const fs::path& file, const std::string& code) {
  try {
    make_directories(file.parent_path());
    const fs::path mine = str(file.string(), '-', host_name(), '-', getpid());
    write_file_atomic(mine, str(fingerprint(code), '\n', code));
    rename_synced(mine, file);
  } catch (const FileError& e) {
    log::info("gpu", str("compiled kernels are not kept: ", e.what()));
  }
}

}  // namespace

std::string source() {
  return str("#define ULMFIT_THREADS ", kThreads,
             "\n#define ULMFIT_DEVICE __device__\n#define ULMFIT_BARRIER() __syncthreads()\n"
             "#define ULMFIT_BITS(x) __float_as_uint(x)\n#define ULMFIT_FLOAT(x) __uint_as_float(x)\n",
             kTypesH, kCommonH, kMasksH, kSoftmaxH, kEntriesH);
}

std::unique_ptr<Nvrtc> load_nvrtc(std::string& why) {
  // libtorch's own library for CUDA brings the NVRTC of its version, whatever its name is; without a driver it cannot be
  // opened, and any will do.
  for (const char* name : {"libcaffe2_nvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"}) {
    void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);  // for as long as the program runs
    if (library == nullptr) {
      const char* error = dlerror();
      why += str(why.empty() ? "" : "; ", error == nullptr ? name : error);
      continue;
    }
    Functions f{};
    const bool whole = find(library, "nvrtcGetErrorString", f.error_string) && find(library, "nvrtcVersion", f.version) &&
                       find(library, "nvrtcCreateProgram", f.create) && find(library, "nvrtcDestroyProgram", f.destroy) &&
                       find(library, "nvrtcCompileProgram", f.compile) && find(library, "nvrtcGetCUBINSize", f.code_size) &&
                       find(library, "nvrtcGetCUBIN", f.code) && find(library, "nvrtcGetProgramLogSize", f.log_size) &&
                       find(library, "nvrtcGetProgramLog", f.log);
    if (whole) {
      auto nvrtc = std::make_unique<LoadedNvrtc>(f);
      // It looks for its other half where it does not lie; one that is loaded it finds.
      dlopen(str("libnvrtc-builtins.so.", nvrtc->version()).c_str(), RTLD_NOW | RTLD_LOCAL);
      return nvrtc;
    }
    why += str(why.empty() ? "" : "; ", name, " lacks functions that are needed");
  }
  return nullptr;
}

fs::path cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return fs::path(cache) / "ulmfit/kernels";
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? fs::path(home) / ".cache/ulmfit/kernels" : fs::path();
}

void load_code(const Nvrtc& nvrtc, const std::string& architecture, const fs::path& cache,
               const std::function<bool(const std::string& code)>& loads) {
  const std::string name = str(fingerprint(str(nvrtc.version(), kStandard, source())), '-', architecture, ".cubin");
  const fs::path file = cache.empty() ? fs::path() : cache / name;
  if (const auto code = file.empty() ? std::nullopt : kept(file); code && loads(*code)) return;
  const std::string code = nvrtc.compile(architecture);
  if (!loads(code)) throw std::runtime_error(str("the kernels compiled for ", architecture, " cannot be loaded"));
  if (!file.empty()) keep(file, code);
}

}  // namespace ulmfit::kernels
