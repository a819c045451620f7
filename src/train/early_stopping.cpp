#include "train/early_stopping.h"

namespace ulmfit::train {

void EarlyStopping::add(double score, std::int64_t step) {
  if (best_step_ >= 0 && score >= best_score_) {
    ++bad_in_a_row_;
    return;
  }
  best_score_ = score;
  best_step_ = step;
  bad_in_a_row_ = 0;
}

void EarlyStopping::save(nlohmann::json& counters) const {
  counters["best_score"] = best_score_;
  counters["best_step"] = best_step_;
  counters["bad_validations"] = bad_in_a_row_;
}

void EarlyStopping::load(const nlohmann::json& counters) {
  counters.at("best_step").get_to(best_step_);
  // Older programs saved a NaN of the first validation, which JSON writes as null: no best at all.
  if (counters.at("best_score").is_null()) {
    best_step_ = -1;
  } else {
    counters.at("best_score").get_to(best_score_);
  }
  counters.at("bad_validations").get_to(bad_in_a_row_);
}

}  // namespace ulmfit::train
