#include "stages/stage_folder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/manifest.h"
#include "interop/safetensors.h"
#include "stages/run_folder.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

constexpr double kProbeTolerance = 1e-3;
constexpr std::int64_t kProbeTokens = 48;

// Full float32 while alive: a stage is checked alike whatever it was trained in.
class FullPrecision {
 public:
  FullPrecision() {
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
  }
  ~FullPrecision() {
    at::globalContext().setAllowTF32CuDNN(cudnn_);
    at::globalContext().setAllowTF32CuBLAS(cublas_);
  }
  FullPrecision(const FullPrecision&) = delete;
  FullPrecision& operator=(const FullPrecision&) = delete;

 private:
  bool cudnn_ = at::globalContext().allowTF32CuDNN();
  bool cublas_ = at::globalContext().allowTF32CuBLAS();
};

double probe(model::AwdLstm encoder, model::Head& head) {
  const FullPrecision full;
  encoder.set_precision(model::Precision::kFloat32);
  std::vector<std::int64_t> tokens;
  for (std::int64_t i = 0; i <= kProbeTokens; ++i) tokens.push_back((i * 7919 + 11) % encoder.shape().vocabulary);
  return head.probe(encoder, tokens);
}

// Before memory for a model of that shape is taken.
void check_size(const StageInfo& info, const fs::path& folder) {
  const std::int64_t needed = info.shape.encoder_parameters() + info.head->weights();
  const auto bytes = fs::file_size(folder / "model.safetensors");
  if (bytes / sizeof(float) >= static_cast<std::uint64_t>(needed)) return;
  throw CheckpointError(str("cannot read stage ", folder.string(), ": model.safetensors has ", bytes,
                            " bytes, a model of the shape that stage.json tells has ", needed, " weights and more"));
}

void load_weights(const interop::NamedTensors& targets, const fs::path& file) {
  at::NoGradGuard no_grad;
  interop::SafetensorsFile weights(file);
  for (auto [name, tensor] : targets) {
    const at::Tensor stored = weights.read(name);
    if (stored.sizes() != tensor.sizes() || stored.scalar_type() != tensor.scalar_type()) {
      throw CheckpointError(
          str("cannot read ", file.string(), ": ", name, " does not have the shape that stage.json tells"));
    }
    tensor.copy_(stored);
  }
}

// What to give where a folder, such as one that fit has made, holds stages.
std::optional<std::string> nearby_stages(const fs::path& path) {
  constexpr std::size_t kMost = 6;
  std::set<std::string> found;
  std::error_code error, unreadable;
  const auto holds = [&](const fs::path& stage) {
    return fs::exists(stage / "stage.json", unreadable) && fs::exists(stage / kManifestName, unreadable);
  };
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    if (moved_aside(entry->path())) continue;
    if (holds(entry->path()) || holds(entry->path() / "stage")) found.insert(entry->path().string());
  }
  if (found.empty()) return std::nullopt;
  std::string names;
  std::size_t told = 0;
  for (const std::string& name : found) {
    if (++told <= kMost) names += (names.empty() ? "" : " or ") + name;
  }
  return "give one of the stages in it: " + names + (found.size() > kMost ? " ..." : "");
}

}  // namespace

bool holds_finished_stage(const fs::path& path) {
  return fs::exists((fs::exists(path / "stage") ? path / "stage" : path) / kManifestName);
}

fs::path finished_stage_in(const fs::path& path) {
  const fs::path folder = fs::exists(path / "stage") ? path / "stage" : path;
  if (!holds_finished_stage(path)) {
    throw CheckpointError(
        str("no finished stage in ", path.string(), ": expected ", (folder / kManifestName).string(), "; ",
            nearby_stages(path).value_or("give a folder that pretrain, finetune-lm or train-classifier has finished")));
  }
  return folder;
}

TrainedModel describe_stage(const fs::path& path) {
  TrainedModel stage;
  stage.folder = finished_stage_in(path);
  const fs::path& folder = stage.folder;
  check_manifest<CheckpointError>(folder, /*checksums=*/false);
  try {
    stage.info = stage_info(parse_json(read_file(folder / "stage.json")), folder / "stage.json");
    stage.vocabulary = std::make_shared<text::Vocabulary>(text::Vocabulary::load(folder / "vocab.txt"));
    if (stage.vocabulary->size() != stage.info.shape.vocabulary) {
      throw CheckpointError(str("stage ", folder.string(), ": vocab.txt has ", stage.vocabulary->size(),
                                " words, the model ", stage.info.shape.vocabulary));
    }
    stage.text =
        std::make_shared<text::TextPipeline>(text::TextPipeline::from_json(parse_json(read_file(folder / "text.json"))));
  } catch (const json::exception& e) {
    throw CheckpointError(str("cannot read stage ", folder.string(), ": ", e.what()));
  }
  return stage;
}

TrainedModel read_stage(const fs::path& path, at::Device device) {
  check_manifest<CheckpointError>(finished_stage_in(path), /*checksums=*/true);
  TrainedModel stage = describe_stage(path);
  const fs::path& folder = stage.folder;
  try {
    check_size(stage.info, folder);
    stage.encoder = std::make_unique<model::AwdLstm>(stage.info.shape, std::nullopt, device);
    stage.head = stage.info.head->make(*stage.encoder);
    load_weights(model::tensors_of(*stage.encoder, *stage.head), folder / "model.safetensors");
    // Checked above: a large file is not read a second time for it.
    const auto checksum = manifest_checksum(folder, "model.safetensors");
    stage.model_fingerprint = checksum ? *checksum : file_fingerprint(folder / "model.safetensors");
    const double expected = parse_json(read_file(folder / "stage.json")).at("probe").get<double>();
    const double found = probe(*stage.encoder, *stage.head);
    if (!(std::abs(found - expected) <= kProbeTolerance * std::max(std::abs(expected), 1e-2))) {
      throw CheckpointError(str("stage ", folder.string(),
                                " does not compute what it did when it was written: its probe gives ", found, ", expected ",
                                expected, " within 0.1 %; the files or this machine's libraries are at fault"));
    }
  } catch (const json::exception& e) {
    throw CheckpointError(str("cannot read stage ", folder.string(), ": ", e.what()));
  }
  return stage;
}

void check_same_text(const TrainedModel& stage, const data::CorpusInfo& corpus, const fs::path& folder) {
  if (stage.text->fingerprint() == corpus.text_fingerprint) return;
  throw DataError(str(folder.string(), " was made with other text rules or another tokenizer than the stage ",
                      stage.folder.string(), "; prepare it with --vocab ", stage.folder.string(),
                      " or the same --tokenizer and --rules"));
}

TextFiles read_text_files(const fs::path& corpus) {
  return {read_file(corpus / "vocab.txt"), read_file(corpus / "text.json")};
}

void write_stage(const fs::path& folder, const StageInfo& info, const model::AwdLstm& encoder, model::Head& head,
                 const TextFiles& text, const std::string& config_text) {
  const fs::path temporary = folder.parent_path() / ".writing-stage";
  fs::remove_all(temporary);
  make_directories(temporary);
  interop::NamedTensors tensors = model::tensors_of(encoder, head);
  for (auto& [tensor_name, tensor] : tensors) tensor = tensor.cpu().contiguous();
  OutputFile weights(temporary / "model.safetensors");
  interop::write_safetensors(weights, tensors, {{"format", "ulmfit"}});
  weights.sync();
  weights.close();
  write_file_atomic(temporary / "vocab.txt", text.vocabulary);
  write_file_atomic(temporary / "text.json", text.rules);
  json description = to_json(info);
  description["probe"] = probe(encoder, head);
  write_file_atomic(temporary / "stage.json", description.dump(1) + "\n");
  write_file_atomic(temporary / "CARD.md", reports::stage_card(card_info(info, config_text)));
  write_manifest(temporary);
  sync_directory(temporary);
  fs::remove_all(folder);
  rename_synced(temporary, folder);
}

}  // namespace ulmfit::stages
