// stage.json: what a stage is, without its weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/document_pooling.h"
#include "model/shape.h"
#include "reports/stage_card.h"

namespace ulmfit::stages {

inline constexpr std::int64_t kStageVersion = 1;

enum class StageKind { kLanguageModel, kClassifier };

struct ClassifierInfo {
  std::vector<std::string> labels;        // class names in id order
  std::vector<std::int64_t> head_widths;  // 3 * embedding, hidden ..., classes
  model::Bpt3cOptions bpt3c;
  std::vector<std::string> text_columns;  // of a row, joined into one text; one: the texts are single fields
};

// One step of the way from text to this stage, oldest first.
struct Ancestor {
  std::string command;      // "pretrain", "finetune-lm", "train-classifier"
  std::string fingerprint;  // of the stage's model.safetensors; empty for the stage being described
  nlohmann::json facts;     // corpus fingerprint, steps, seed, figures; lists of files summarized (data/file_lists.h)
};

struct StageInfo {
  StageKind kind = StageKind::kLanguageModel;
  model::Shape shape;
  bool backward = false;
  std::optional<ClassifierInfo> classifier;
  std::vector<Ancestor> lineage;
  std::map<std::string, double> figures;  // validation results
};

// "lm" or "classifier"
std::string_view name(StageKind kind);

// stage.json without the probe.
nlohmann::json to_json(const StageInfo& info);

// What the card of the stage tells.
reports::CardInfo card_info(const StageInfo& info, const std::string& config_text);

// What to_json() gave, or an older program. Nothing of it is trusted: CheckpointError, naming `file` and the field, for a
// value that no training gives (a size out of range, widths that do not fit the shape or the labels, labels that are empty
// or alike, no lineage ...); json::exception for a missing field or another type.
StageInfo stage_info(const nlohmann::json& json, const std::filesystem::path& file);

}  // namespace ulmfit::stages
