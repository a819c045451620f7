// stage.json: what a stage is, without its weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/shape.h"
#include "reports/stage_card.h"
#include "stages/head_info.h"

namespace ulmfit::stages {

inline constexpr std::int64_t kStageVersion = 1;
inline constexpr std::int64_t kNewestStageVersion =
    2;  // of a classifier of several labels: older programs would misread it

// One entry of the way from text to this stage, oldest first.
struct Ancestor {
  std::string command;      // "pretrain", "finetune-lm", "train-classifier"
  std::string fingerprint;  // of the stage's model.safetensors; empty for the stage being described
  nlohmann::json
      facts;  // corpus fingerprint, steps, seed, validation metrics; lists of files summarized (data/file_lists.h)
};

struct StageInfo {
  model::Shape shape;
  bool backward = false;
  std::shared_ptr<const HeadInfo> head;
  std::vector<Ancestor> lineage;
  std::map<std::string, double> metrics;  // validation results

  // The head's info, if it is of that type; else null.
  template <class Info>
  const Info* head_info_as() const {
    return dynamic_cast<const Info*>(head.get());
  }
};

// stage.json without the probe.
nlohmann::json to_json(const StageInfo& info);

// What the card of the stage tells.
reports::CardInfo card_info(const StageInfo& info, const std::string& config_text);

// What to_json() gave, or an older program. Nothing of it is trusted: CheckpointError, naming `file` and the field, for a
// value that no training gives (a size out of range, widths that do not fit the shape or the labels, labels that are empty
// or alike, no lineage ...); json::exception for a missing field or another type.
StageInfo stage_info(const nlohmann::json& json, const std::filesystem::path& file);

}  // namespace ulmfit::stages
