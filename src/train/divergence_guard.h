// Keeps a step whose gradients are not finite from the weights, and ends a run that has too many of them in a row.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

namespace ulmfit::train {

class DivergenceGuard {
 public:
  explicit DivergenceGuard(std::int64_t most_in_a_row) : most_in_a_row_(most_in_a_row) {}

  // Whether the update of step `step` may be made, by its gradient norm and its loss over all ranks; if not, with a
  // warning. Throws DivergedError at `most_in_a_row` steps in a row that may not.
  bool admits(std::int64_t step, double gradient_norm, double nats);

  std::int64_t skipped() const { return skipped_; }  // in the whole run

  // Its fields among the counters of a checkpoint's state.json; json::exception for one that is missing or of another type.
  void save(nlohmann::json& counters) const;
  void load(const nlohmann::json& counters);

 private:
  std::int64_t most_in_a_row_;
  std::int64_t skipped_ = 0;
  std::int64_t in_a_row_ = 0;
};

}  // namespace ulmfit::train
