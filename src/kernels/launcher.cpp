#include "kernels/launcher.h"

#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>

#include "base/error.h"
#include "base/log.h"
#if defined(ULMFIT_WITH_KERNELS)
#include "kernels/cuda/cuda_launcher.h"
#endif

namespace ulmfit::kernels {
namespace {

struct Launchers {
  std::mutex mutex;  // autograd's threads ask, too
  std::map<c10::DeviceType, Launcher*> set;
  std::map<c10::DeviceIndex, std::unique_ptr<Launcher>> of_gpus;  // null: told why
};

Launchers& launchers() {
  static Launchers all;
  return all;
}

std::unique_ptr<Launcher> make_for_gpu([[maybe_unused]] c10::DeviceIndex gpu) {
  const char* wanted = std::getenv("ULMFIT_GPU_KERNELS");
  if (wanted != nullptr && std::string_view(wanted) == "0") return nullptr;
#if defined(ULMFIT_WITH_KERNELS)
  try {
    return make_cuda_launcher(gpu);
  } catch (const std::exception& e) {
    log::warn("gpu", str("kernels of ulmfit cannot be used, libtorch's are (slower): ", e.what()));
  }
#else
  log::warn("gpu", "this program was built without kernels of its own, for want of CUDA's headers: libtorch's are slower");
#endif
  return nullptr;
}

}  // namespace

Launcher* launcher_of(c10::Device device) {
  Launchers& all = launchers();
  const std::scoped_lock lock(all.mutex);
  if (const auto set = all.set.find(device.type()); set != all.set.end()) return set->second;
  if (!device.is_cuda()) return nullptr;
  const auto [found, first] = all.of_gpus.try_emplace(device.index());
  if (first) found->second = make_for_gpu(device.index());
  return found->second.get();
}

void set_launcher(c10::DeviceType type, Launcher* launcher) {
  Launchers& all = launchers();
  const std::scoped_lock lock(all.mutex);
  all.set[type] = launcher;
}

}  // namespace ulmfit::kernels
