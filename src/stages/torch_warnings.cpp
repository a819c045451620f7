#include "stages/torch_warnings.h"

#include "base/log.h"

namespace ulmfit::stages {

void WarnOnce::process(const c10::Warning& warning) {
  constexpr std::size_t kMost = 20;
  if (!tells_) return;
  {
    const std::scoped_lock lock(mutex_);
    if (told_.size() == kMost || !told_.insert(warning.msg()).second) return;
  }
  log::warn("libtorch", warning.msg());
}

}  // namespace ulmfit::stages
