#include "train/divergence_guard.h"

#include <cmath>

#include "base/error.h"
#include "base/log.h"

namespace ulmfit::train {

bool DivergenceGuard::admits(std::int64_t step, double gradient_norm, double nats) {
  if (std::isfinite(gradient_norm) && std::isfinite(nats)) {
    in_a_row_ = 0;
    return true;
  }
  ++skipped_;
  if (++in_a_row_ >= most_in_a_row_) {
    throw DivergedError(str("training diverged: gradients were not finite in ", most_in_a_row_, " steps in a row (step ",
                            step, ", gradient norm ", gradient_norm, ", loss sum ", nats,
                            "); lower --optim.lr, and begin anew with --restart or another --output"));
  }
  log::warn("train",
            str("step ", step, ": gradients are not finite (norm ", gradient_norm, "); step skipped on all ranks"));
  return false;
}

void DivergenceGuard::save(nlohmann::json& counters) const {
  counters["skipped"] = skipped_;
  counters["skipped_in_a_row"] = in_a_row_;
}

void DivergenceGuard::load(const nlohmann::json& counters) {
  counters.at("skipped").get_to(skipped_);
  counters.at("skipped_in_a_row").get_to(in_a_row_);
}

}  // namespace ulmfit::train
