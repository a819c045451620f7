// The kernels run by the host, on memory that it can reach: blocks in random order, and in a block the threads in random
// order from barrier to barrier.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "kernels/launcher.h"

namespace ulmfit::test {

class HostLauncher : public kernels::Launcher {
 public:
  void launch(const char* kernel, unsigned blocks, void** arguments) override;
  std::int64_t cache_bytes() const override { return cache; }
  // This host records nothing (tests/gpu/fake/fake_recording.h).
  std::unique_ptr<kernels::Recording> record(const std::function<void()>& work) override;
  void prepare_to_record() override {}
  // How often each kernel was started.
  const std::map<std::string, int>& launches() const { return launches_; }
  // Of barriers that let everyone pass.
  bool without_barriers = false;
  std::int64_t cache = 1 << 20;

 protected:
  // The values of a kernel's parameters, in order.
  static std::vector<std::vector<std::byte>> kept_arguments(const std::string& kernel, void** arguments);

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
