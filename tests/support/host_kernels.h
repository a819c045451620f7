// The kernels run by the host, on memory that it can reach: blocks in random order, and in a block the threads in random
// order from barrier to barrier.
#pragma once

#include <map>
#include <string>

#include "kernels/launcher.h"

namespace ulmfit::test {

class HostLauncher : public kernels::Launcher {
 public:
  void launch(const char* kernel, unsigned blocks, void** arguments) override;
  std::int64_t cache_bytes() const override { return cache; }
  // How often each kernel was started.
  const std::map<std::string, int>& launches() const { return launches_; }
  // Of barriers that let everyone pass.
  bool without_barriers = false;
  std::int64_t cache = 1 << 20;

 private:
  std::map<std::string, int> launches_;
};

// Launches on devices of `type` go to `launcher` while this lives.
class LauncherScope {
 public:
  LauncherScope(c10::DeviceType type, kernels::Launcher& launcher) : type_(type) {
    kernels::set_launcher(type_, &launcher);
  }
  ~LauncherScope() { kernels::set_launcher(type_, nullptr); }
  LauncherScope(const LauncherScope&) = delete;
  LauncherScope& operator=(const LauncherScope&) = delete;

 private:
  c10::DeviceType type_;
};

}  // namespace ulmfit::test
