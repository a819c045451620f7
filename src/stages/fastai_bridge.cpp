#include "stages/fastai_bridge.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/manifest.h"
#include "base/partial_folder.h"
#include "base/program.h"
#include "base/temp_folder.h"
#include "interop/archive.h"
#include "interop/fastai_weights.h"
#include "stages/classifier_info.h"
#include "stages/language_model_info.h"
#include "stages/options.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {
namespace {

// What fastai's text classifiers do unless told otherwise: windows of 72 tokens (v1: 70), gradients and pools over the
// last 20.
constexpr model::Bpt3cOptions kPooling{.window = 72, .length = 1440, .detach = true, .pool_all = false};
constexpr model::Bpt3cOptions kPoolingOfV1{.window = 70, .length = 1400, .detach = true, .pool_all = false};

const char* name_of(interop::FastaiKind kind) {
  switch (kind) {
    case interop::FastaiKind::kEncoder:
      return "encoder";
    case interop::FastaiKind::kLanguageModel:
      return "language model";
    case interop::FastaiKind::kClassifier:
      return "classifier";
  }
  return "";
}

void check_words(const interop::FastaiVocabulary& vocabulary, const interop::FastaiWeights& weights,
                 const ImportOptions& options) {
  if (static_cast<std::int64_t>(vocabulary.words.size()) == weights.vocabulary) return;
  throw CheckpointError(str(options.vocabulary, " has ", vocabulary.words.size(), " words, ", options.weights, " rows for ",
                            weights.vocabulary, "; give the vocabulary that was saved with these weights"));
}

void check_text(const std::string& text, const std::string& whose) {
  try {
    [[maybe_unused]] const std::string written = nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw CheckpointError(str("cannot import ", whose, ": it has a name that is not valid UTF-8"));
  }
}

std::vector<std::string> labels_of(const ImportOptions& options, const interop::FastaiVocabulary& vocabulary,
                                   std::int64_t classes) {
  std::vector<std::string> labels = options.labels.empty() ? vocabulary.labels : read_lines(options.labels);
  if (labels.empty()) {
    throw ConfigError(str(options.weights, " is a classifier of ", classes, " classes, whose names ", options.vocabulary,
                          " does not have; give --labels, a file of one name a line, in fastai's order (dls.vocab[1])"));
  }
  for (const std::string& label : labels) check_text(label, options.labels.empty() ? options.vocabulary : options.labels);
  if (static_cast<std::int64_t>(labels.size()) == classes) return labels;
  throw CheckpointError(str("there are ", labels.size(), " names of classes, but ", options.weights, " has ", classes));
}

std::shared_ptr<const HeadInfo> head_info(const ImportOptions& options, const interop::FastaiVocabulary& vocabulary,
                                          const interop::FastaiWeights& weights) {
  if (weights.kind != interop::FastaiKind::kClassifier) {
    if (!options.labels.empty()) {
      throw ConfigError(str("--labels: ", options.weights, " is a ", name_of(weights.kind), ", which has no classes"));
    }
    return std::make_shared<LanguageModelInfo>();
  }
  auto info = std::make_shared<ClassifierInfo>();
  info->labels = labels_of(options, vocabulary, weights.head_widths.back());
  info->head = {
      .widths = weights.head_widths, .bpt3c = weights.head_bias ? kPoolingOfV1 : kPooling, .bias = weights.head_bias};
  info->text_columns = {"text"};
  return info;
}

void copy_weights(const interop::NamedTensors& from, const interop::NamedTensors& to, const ImportOptions& options) {
  const at::NoGradGuard no_grad;
  for (auto [name, target] : to) {
    const at::Tensor* found = interop::find_tensor(from, name);
    if (found == nullptr) {
      if (name == "decoder.bias") continue;  // of an encoder: 0
      throw CheckpointError(str("cannot import ", options.weights, ": it has nothing for ", name));
    }
    target.copy_(*found);
  }
}

// Words with blanks, which no text here can have (spaCy makes some of line breaks), become padding under their ids.
std::int64_t blank_words_out(std::vector<std::string>& words) {
  std::int64_t count = 0;
  for (std::string& word : words) {
    const bool blank = word.empty() || std::any_of(word.begin(), word.end(), [](char c) {
                         return c == ' ' || (static_cast<unsigned char>(c) < 0x20) || c == 0x7f;
                       });
    if (!blank) continue;
    word = "xxfake";
    ++count;
  }
  return count;
}

// What would be written is what can be read: of a defect nothing is left behind.
void check_stage(const StageInfo& info, const interop::NamedTensors& tensors, const ImportOptions& options) {
  stage_info(to_json(info), options.weights);
  for (const auto& [name, tensor] : tensors) {
    if (tensor.isfinite().all().item<bool>()) continue;
    throw CheckpointError(str("cannot import ", options.weights, ": ", name, " is not finite everywhere"));
  }
}

// Words that the tokenizer "words" cuts and marks as fastai with spaCy does, mean of reviews, news and encyclopedia
// (tests/reference/spacy_agreement.py, tests/bench/results/spacy-agreement.json).
const char* tokenizer_fact(const text::TextOptions& text) {
  if (text.tokenizer != text::TokenizerKind::kWords) return "foreign, as it was told on import";
  switch (text.rules) {
    case text::TextRules::kFastai:
      return "foreign (spaCy), approximated by words, agreement 99.3 % (of English)";
    case text::TextRules::kFastai1:
      return "foreign (spaCy), approximated by words, agreement 98.7 % (of English)";
    case text::TextRules::kNone:
      break;
  }
  return "foreign (spaCy), approximated by words, agreement not measured";
}

// v1 has the marks of capitals in front of those of repeats, v2 behind them.
void warn_of_other_rules(const std::vector<std::string>& words, const text::TextOptions& text) {
  const auto place = [&](std::string_view word) { return std::find(words.begin(), words.end(), word); };
  const bool v1 = place("xxmaj") < place("xxrep");
  if (text.rules == text::TextRules::kNone || place("xxmaj") == words.end() || place("xxrep") == words.end()) return;
  if (v1 == (text.rules == text::TextRules::kFastai1)) return;
  log::warn("import", str("the vocabulary has its special tokens in the order of fastai ", v1 ? "v1" : "v2",
                          ": its words fit the text rules --rules=", v1 ? "fastai1" : "fastai",
                          " better; to have them, import it again into another folder"));
}

nlohmann::json import_facts(const ImportOptions& options, interop::FastaiKind kind, std::int64_t words_with_blanks,
                            const text::TextOptions& text) {
  const std::string file = fs::path(options.weights).filename().string();
  check_text(file, options.weights);
  return {{"source", "fastai"},
          {"what", name_of(kind)},
          {"weights_file", file},
          {"weights_file_fingerprint", file_fingerprint(options.weights)},
          {"vocabulary_file_fingerprint", file_fingerprint(options.vocabulary)},
          {"tokenizer", tokenizer_fact(text)},
          {"words_with_blanks", words_with_blanks}};
}

// Whether OUTPUT holds what these files and options give: a pipeline that is started again goes on behind it.
bool imported_before(const ImportOptions& options, const text::TextPipeline& pipeline) {
  const std::optional<TrainedModel> stage = imported_stage(options.output, options.backward, pipeline);
  if (!stage) return false;
  const nlohmann::json& facts = stage->info.lineage[0].facts;
  const auto told = [&](const char* key, const std::string& file) {
    return facts.value(key, "") == file_fingerprint(file);
  };
  const auto* classifier = stage->info.head_info_as<ClassifierInfo>();
  const bool same_labels =
      options.labels.empty() || (classifier != nullptr && classifier->labels == read_lines(options.labels));
  return told("weights_file_fingerprint", options.weights) && told("vocabulary_file_fingerprint", options.vocabulary) &&
         same_labels;
}

bool holds_the_same(const fs::path& folder, const fs::path& made) {
  for (const char* file : {"model.pth", "vocab.pkl"}) {
    if (!fs::is_regular_file(folder / file) || file_fingerprint(folder / file) != file_fingerprint(made / file))
      return false;
  }
  return true;
}

// A stage as its folder has it, checked by its manifest, which goes along.
nlohmann::json export_bundle(const ExportOptions& options) {
  const TrainedModel stage = read_stage(options.model, at::kCPU);
  const fs::path zip = options.output;
  if (options.encoder) throw ConfigError("export: --bundle and --encoder exclude each other; give one of them");
  if (zip.extension() != ".zip")
    throw ConfigError(str("export --bundle --output: ", zip.string(), " does not end with .zip"));
  std::vector<std::string> files{std::string(kManifestName)};
  const nlohmann::json manifest = parse_json(read_file(stage.folder / kManifestName));
  for (const auto& file : manifest.at("files")) files.push_back(file.at("name"));
  make_directories(fs::absolute(zip).parent_path());
  PartialFolder partial(zip);
  const fs::path made = partial.path() / "zip";
  interop::write_zip(made, stage.folder, files, zip.stem().string());
  const std::string sum = sha256_of(made);
  const bool before = fs::exists(zip);
  if (before && !(fs::is_regular_file(zip) && sha256_of(zip) == sum)) {
    throw ConfigError(str("export --output: ", zip.string(), " is there already, and is another one; give a new name"));
  }
  if (before) {
    log::info("export", str("nothing to do: ", zip.string(), " is this bundle"));
  } else {
    rename_synced(made, zip);
  }
  return {
      {"exported", before ? "before" : "bundle"}, {"file", zip.string()}, {"sha256", sum}, {"bytes", fs::file_size(zip)}};
}

}  // namespace

void declare_foreign_tokens(config::OptionSet& set, bool& accepted) {
  set.add("accept-foreign-tokens", accepted,
          "I know that the model was trained on words as spaCy splits them, and that this program splits them by its own "
          "rules, which agree for most");
}

void check_foreign_tokens(bool accepted) {
  if (accepted) return;
  throw ConfigError(
      "fastai's models were trained on words as spaCy splits them; this program splits by its own rules, which agree for "
      "most words of most texts. Give --accept-foreign-tokens to import one for use with them");
}

void refuse_used(const fs::path& folder, const char* what) {
  if (!fs::exists(folder) || fs::is_empty(folder)) return;
  throw ConfigError(str(what, " --output: ", folder.string(), " is not empty; give a new one"));
}

std::optional<TrainedModel> imported_stage(const fs::path& folder, bool backward, const text::TextPipeline& pipeline) {
  if (!holds_finished_stage(folder)) return std::nullopt;
  TrainedModel stage = read_stage(folder, at::kCPU);
  const bool imported = stage.info.lineage.size() == 1 && stage.info.lineage[0].command == "import";
  if (!imported || stage.info.backward != backward || stage.text->fingerprint() != pipeline.fingerprint())
    return std::nullopt;
  return stage;
}

void ImportOptions::declare(config::OptionSet& set) {
  set.add("weights", weights, "a .pth of fastai: learn.save, learn.save_encoder, a published model");
  set.require("weights");
  set.add("vocab", vocabulary, "its words by id: a .pkl of fastai, a JSON list, or a text of one word a line");
  set.require("vocab");
  set.add("labels", labels, "of a classifier, if the vocabulary's file does not have them: its classes, one a line");
  set.add("output", output, "folder for the stage");
  set.require("output");
  set.add("direction", backward, kBackward, "which way the model reads");
  declare_foreign_tokens(set, foreign_tokens);
}

nlohmann::json import_fastai(const ImportOptions& options, const text::TextPipeline& pipeline,
                             const std::string& config_text) {
  check_foreign_tokens(options.foreign_tokens);
  if (imported_before(options, pipeline)) {
    log::info("import", str("nothing to do: ", options.output, " holds what these files give"));
    return {{"imported", "before"}, {"output", options.output}};
  }
  refuse_used(options.output, "import");
  const interop::FastaiWeights weights = interop::read_fastai_weights(options.weights);
  interop::FastaiVocabulary words = interop::read_fastai_vocabulary(options.vocabulary);
  check_words(words, weights, options);
  for (const std::string& word : words.words) check_text(word, options.vocabulary);
  warn_of_other_rules(words.words, pipeline.options());
  const std::int64_t blank = blank_words_out(words.words);
  const text::Vocabulary vocabulary(words.words);

  StageInfo info;
  info.shape = {weights.vocabulary, weights.embedding, weights.hidden, weights.layers};
  info.backward = options.backward;
  info.head = head_info(options, words, weights);
  nlohmann::json facts = import_facts(options, weights.kind, blank, pipeline.options());
  facts.update(options.origin);
  info.lineage = {{"import", "", facts}};
  check_stage(info, weights.tensors, options);
  const model::AwdLstm encoder(info.shape, 0, at::kCPU);
  const std::unique_ptr<model::Head> head = info.head->make(encoder);
  copy_weights(weights.tensors, model::tensors_of(encoder, *head), options);
  if (weights.kind == interop::FastaiKind::kEncoder) {
    log::warn("import",
              str(options.weights, " is an encoder: as a language model its decoder's bias is 0 until it is tuned"));
  }
  if (blank > 0) {
    log::warn("import",
              str(blank, " of its words hold blanks, which no word of this program does: their rows are kept unused"));
  }

  PartialFolder partial(options.output);
  const TempFolder text_files;
  vocabulary.save(text_files.path() / "vocab.txt");
  const TextFiles text{read_file(text_files.path() / "vocab.txt"), pipeline.to_json().dump(1) + "\n"};
  write_stage(partial.path() / "stage", info, encoder, *head, text, config_text);
  partial.commit();
  return {{"imported", name_of(weights.kind)}, {"output", options.output}, {"vocabulary", weights.vocabulary},
          {"embedding", weights.embedding},    {"hidden", weights.hidden}, {"layers", weights.layers}};
}

void ExportOptions::declare(config::OptionSet& set) {
  set.add("model", model, "a finished stage");
  set.require("model");
  set.add("output", output, "folder for model.pth and vocab.pkl");
  set.require("output");
  set.add("encoder", encoder, "the encoder alone, as learn.save_encoder writes it");
  set.add("bundle", bundle, "nothing for fastai, but the whole stage with its card as one zip file, OUTPUT");
}

nlohmann::json export_fastai(const ExportOptions& options) {
  if (options.bundle) return export_bundle(options);
  const fs::path folder = options.output;
  const TrainedModel trained = read_stage(options.model, at::kCPU);
  const auto* classifier = trained.info.head_info_as<ClassifierInfo>();
  interop::FastaiWeights weights;
  weights.kind = options.encoder         ? interop::FastaiKind::kEncoder
                 : classifier == nullptr ? interop::FastaiKind::kLanguageModel
                                         : interop::FastaiKind::kClassifier;
  weights.layers = trained.info.shape.layers;
  for (auto& [name, tensor] : model::tensors_of(*trained.encoder, *trained.head)) {
    weights.tensors.emplace_back(name, tensor.cpu().contiguous());
  }
  interop::FastaiVocabulary vocabulary{trained.vocabulary->tokens(), {}};
  if (classifier != nullptr && !options.encoder) {
    weights.head_widths = classifier->head.widths;
    weights.head_bias = classifier->head.bias;
    vocabulary.labels = classifier->labels;
  }
  if (classifier != nullptr && classifier->multilabel() && !options.encoder) {
    log::warn(
        "export",
        "it gives several labels a text: fastai loads it into a learner with MultiCategoryBlock, and knows nothing of "
        "its thresholds, which stay in the stage's own stage.json");
  }
  if (weights.head_bias) log::warn("export", "its head has biases, as fastai v1's: v1 alone loads it");
  PartialFolder partial(folder);
  interop::write_fastai_weights(partial.path() / "model.pth", weights);
  interop::write_fastai_vocabulary(partial.path() / "vocab.pkl", vocabulary);
  const bool before = holds_the_same(folder, partial.path());
  if (before) {
    log::info("export", str("nothing to do: ", folder.string(), " holds these files"));
  } else {
    refuse_used(folder, "export");
    partial.commit();
  }
  return {{"exported", before ? "before" : name_of(weights.kind)},
          {"weights", (folder / "model.pth").string()},
          {"vocabulary", (folder / "vocab.pkl").string()}};
}

}  // namespace ulmfit::stages
