// The best validation so far, and whether a run has gone on for too long without a better one. Alike on all ranks.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

namespace ulmfit::train {

class EarlyStopping {
 public:
  // Stops after `patience` validations in a row that are no better than the best; 0: never.
  explicit EarlyStopping(std::int64_t patience) : patience_(patience) {}

  // The score of the validation after step `step`, finite; lower is better.
  void add(double score, std::int64_t step);

  bool stops() const { return patience_ > 0 && bad_in_a_row_ >= patience_; }
  std::int64_t best_step() const { return best_step_; }  // -1: none

  // Its fields among the counters of a checkpoint's state.json; json::exception for one that is missing or of another type.
  void save(nlohmann::json& counters) const;
  void load(const nlohmann::json& counters);

 private:
  std::int64_t patience_;
  double best_score_ = 0;
  std::int64_t best_step_ = -1;
  std::int64_t bad_in_a_row_ = 0;
};

}  // namespace ulmfit::train
