// Models of fastai become stages, and stages files that fastai loads.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "config/option_set.h"
#include "stages/stage_folder.h"
#include "text/text_pipeline.h"

namespace ulmfit::stages {

// --accept-foreign-tokens, and what is said without it (ConfigError).
void declare_foreign_tokens(config::OptionSet& set, bool& accepted);
void check_foreign_tokens(bool accepted);

// Throws ConfigError, in the name of the command `what`, where the folder holds anything.
void refuse_used(const std::filesystem::path& folder, const char* what);

// The stage in FOLDER, if an import has made it and nothing else since, with that direction and that text.
std::optional<TrainedModel> imported_stage(const std::filesystem::path& folder, bool backward,
                                           const text::TextPipeline& pipeline);

struct ImportOptions {
  std::string weights;     // .pth
  std::string vocabulary;  // .pkl, .json, .txt
  std::string labels;      // of a classifier whose vocabulary file has none: a text of one name a line
  std::string output;
  bool backward = false;
  bool foreign_tokens = false;  // the user knows that spaCy split the words which the model was trained on
  nlohmann::json origin = nlohmann::json::object();  // more for the lineage: where the files came from
  void declare(config::OptionSet& set);
};

// Writes OUTPUT/stage, whole or not at all, and says what came in. A language model, an encoder (as a language model whose
// decoder has a bias of 0) or a classifier; `pipeline` is what turns text into its tokens from now on, `config_text` the
// resolved options for the card. Throws ConfigError without `foreign_tokens` or where OUTPUT holds anything else than what
// these options give; CheckpointError or DataError for files that do not fit together.
nlohmann::json import_fastai(const ImportOptions& options, const text::TextPipeline& pipeline,
                             const std::string& config_text);

struct ExportOptions {
  std::string model;   // a finished stage
  std::string output;  // folder
  bool encoder = false;
  bool bundle = false;
  void declare(config::OptionSet& set);
};

// Writes OUTPUT/model.pth and OUTPUT/vocab.pkl for fastai v2: of a language model, learn.load and pretrained_fnames take
// them; of a classifier, learn.load; with `encoder`, load_encoder. With `bundle`, one zip file OUTPUT instead, of the
// stage's own files. Throws ConfigError where OUTPUT holds anything else than what would be written; there is nothing to do
// where it holds that.
nlohmann::json export_fastai(const ExportOptions& options);

}  // namespace ulmfit::stages
