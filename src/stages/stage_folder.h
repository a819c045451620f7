// A stage folder: all that the next stage, or a user, needs of a trained model, and nothing else.
//
//   model.safetensors  weights            vocab.txt    words by id          text.json  text rules and tokenizer
//   stage.json         kind, shape, direction, labels, settings, lineage, probe          CARD.md  the same for people
//   MANIFEST.json      sizes and checksums, written last
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "data/corpus_folder.h"
#include "model/awd_lstm.h"
#include "model/head.h"
#include "stages/stage_info.h"
#include "text/text_pipeline.h"
#include "text/vocabulary.h"

namespace ulmfit::stages {

// A stage read back: info, vocabulary, text rules, and the model with its weights.
struct TrainedModel {
  std::filesystem::path folder;
  StageInfo info;
  std::shared_ptr<const text::Vocabulary> vocabulary;
  std::shared_ptr<const text::TextPipeline> text;
  std::unique_ptr<model::AwdLstm> encoder;
  std::unique_ptr<model::Head> head;
  std::string model_fingerprint;
};

// Its head as what it is. std::bad_cast, if it is another.
template <class H>
H& head_as(const TrainedModel& stage) {
  return dynamic_cast<H&>(*stage.head);
}

// The stage folder that PATH stands for: itself, or the one named `stage` in a run folder. Throws CheckpointError if no
// finished stage is there.
std::filesystem::path finished_stage_in(const std::filesystem::path& path);
bool holds_finished_stage(const std::filesystem::path& path);

// What a stage is, without its weights: encoder and head are null, checksums are not checked. Throws CheckpointError.
TrainedModel describe_stage(const std::filesystem::path& path);

// Reads and checks a stage: manifest with checksums, stage_info(), shapes against weights, vocabulary against shape, and
// the probe (a fixed input whose result was stored: within 1e-3 relative). PATH may be the folder itself or a run folder
// that holds it as `stage`. Throws CheckpointError naming what is wrong.
TrainedModel read_stage(const std::filesystem::path& path, at::Device device);

// Throws DataError if the prepared folder `corpus`, at `folder`, was made with other text rules or another tokenizer than
// the stage's: even over the same vocabulary most of its words would be unknown.
void check_same_text(const TrainedModel& stage, const data::CorpusInfo& corpus, const std::filesystem::path& folder);

// The files of a prepared folder that become the stage's, as they were when its text was opened: while a model trains,
// another text may take the folder's place.
struct TextFiles {
  std::string vocabulary;  // vocab.txt
  std::string rules;       // text.json
};
TextFiles read_text_files(const std::filesystem::path& corpus);

// Writes OUT/stage whole or not at all. Rank 0 only.
void write_stage(const std::filesystem::path& folder, const StageInfo& info, const model::AwdLstm& encoder,
                 model::Head& head, const TextFiles& text, const std::string& config_text);

}  // namespace ulmfit::stages
