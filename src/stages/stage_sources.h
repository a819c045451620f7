// What the training stages are made of, whatever they train: prepared text, and the language model that they start from.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/corpus_folder.h"
#include "stages/stage_folder.h"
#include "text/vocabulary.h"

namespace ulmfit::stages {

// A prepared folder, opened.
struct TrainingText {
  data::CorpusInfo corpus;
  text::Vocabulary vocabulary;
  data::ShardSet train;
  std::optional<data::ShardSet> valid;  // none: the folder has no such split
  TextFiles files;
  nlohmann::json provenance;  // how the folder was made
};

// `corpus` is what data::open_corpus(folder) gave. Throws DataError.
TrainingText open_training_text(const std::filesystem::path& folder, data::CorpusInfo corpus);

// The stage in `from`, which `command` starts from. CheckpointError unless it is a language model.
TrainedModel read_language_model(const std::string& command, const std::string& from, at::Device device);

// That of a stage, `own`, which started from `parent` (none: from scratch).
std::vector<Ancestor> lineage_of(const std::optional<TrainedModel>& parent, Ancestor own);

}  // namespace ulmfit::stages
