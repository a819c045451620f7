#include "stages/stage_sources.h"

#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "stages/language_model_info.h"

namespace ulmfit::stages {

TrainingText open_training_text(const fs::path& folder, data::CorpusInfo corpus) {
  TextFiles files = read_text_files(folder);
  if (fingerprint(files.vocabulary) != corpus.vocabulary_fingerprint) {
    throw DataError(str("cannot read ", folder.string(),
                        ": its vocab.txt is not that of its corpus.json: another text took ",
                        "its place just now; start again"));
  }
  text::Vocabulary vocabulary = text::Vocabulary::load(folder / "vocab.txt");
  data::ShardSet train = data::open_split(folder, corpus, "train");
  std::optional<data::ShardSet> valid;
  if (corpus.splits.contains("valid")) valid = data::open_split(folder, corpus, "valid");
  return {std::move(corpus), std::move(vocabulary), std::move(train),
          std::move(valid),  std::move(files),      data::corpus_provenance(folder)};
}

TrainedModel read_language_model(const std::string& command, const std::string& from, at::Device device) {
  TrainedModel stage = read_stage(from, device);
  if (const HeadKind& kind = stage.info.head->kind(); kind.name != LanguageModelInfo::kName) {
    throw CheckpointError(str("--from ", from, " is a ", kind.what, "; ", command, " starts from a language model"));
  }
  return stage;
}

std::vector<Ancestor> lineage_of(const std::optional<TrainedModel>& parent, Ancestor own) {
  std::vector<Ancestor> lineage;
  if (parent) {
    lineage = parent->info.lineage;
    lineage.back().fingerprint = parent->model_fingerprint;
  }
  lineage.push_back(std::move(own));
  return lineage;
}

}  // namespace ulmfit::stages
