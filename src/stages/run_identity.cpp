#include "stages/run_identity.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/cpu_clones.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/manifest.h"
#include "data/corpus_folder.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "ulmfit-run";
constexpr int kVersion = 1;
constexpr const char* kNone = "none";
constexpr const char* kTrainingText = "training text";
constexpr const char* kVocabulary = "vocabulary";
constexpr const char* kLabels = "labels";
constexpr const char* kLabelSets = "label sets";
constexpr const char* kParentWeights = "parent's weights";
constexpr const char* kDevice = "device";
constexpr const char* kBuild = "build";  // of the same version: the bits are meant to be the same

fs::path file_in(const fs::path& run_folder) { return run_folder / "run.json"; }

const std::string* find(const comm::Facts& facts, const std::string& name) {
  const auto found = std::find_if(facts.begin(), facts.end(), [&](const auto& fact) { return fact.first == name; });
  return found == facts.end() ? nullptr : &found->second;
}

void set(comm::Facts& facts, const std::string& name, const std::string& value) {
  const auto found = std::find_if(facts.begin(), facts.end(), [&](const auto& fact) { return fact.first == name; });
  found == facts.end() ? facts.emplace_back(name, value) : * found = {name, value};
}

void append(comm::Facts& facts, comm::Facts more) {
  facts.insert(facts.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

// A stage tells of its text the fingerprint alone, which comes first in what corpus_inputs() says.
bool same(const std::string& before, const std::string& now) { return before == now || now.starts_with(before + ", "); }

// "\n  NAME: BEFORE in the run folder, NOW now" for each of `now` that is recorded otherwise.
std::string differences(const comm::Facts& recorded, const comm::Facts& now, const char* passed_over = "") {
  std::string text;
  for (const auto& [name, value] : now) {
    const std::string* before = find(recorded, name);
    if (before == nullptr || same(*before, value) || name == passed_over) continue;
    text += str("\n  ", name, ": ", *before, " in the run folder, ", value, " now");
  }
  return text;
}

// The fingerprint comes first and tells one label a text from several: where each text has one, all else may be alike.
std::string describe_labels(const std::vector<std::string>& labels, bool several) {
  std::string names;
  for (const auto& label : labels) names += label + '\n';
  if (several) names += "several a text\n";
  return str(fingerprint(names), ", ", labels.size(), " classes, the first ", labels.front(),
             several ? ", several a text" : "");
}

// What the finished stage of a run tells of its inputs: for these a folder of an older program needs no guess.
comm::Facts inputs_told_by_stage(const fs::path& stage) {
  if (!fs::exists(stage / "vocab.txt") || manifest_defect(stage, /*checksums=*/false)) return {};
  comm::Facts facts{{kVocabulary, file_fingerprint(stage / "vocab.txt")}};
  try {
    const json j = parse_json(read_file(stage / "stage.json"));
    const json& lineage = j.at("lineage");
    const json& own = lineage.at(lineage.size() - 1).at("facts");
    for (const char* text : {"corpus_fingerprint", "data_fingerprint"}) {
      if (own.contains(text)) facts.emplace_back(kTrainingText, own.at(text).get<std::string>());
    }
    const bool has_parent = lineage.size() > 1;
    facts.emplace_back(kParentWeights,
                       has_parent ? lineage.at(lineage.size() - 2).at("fingerprint").get<std::string>() : kNone);
    if (j.contains("classifier")) {
      const json& classifier = j.at("classifier");
      facts.emplace_back(kLabels, describe_labels(classifier.at("labels").get<std::vector<std::string>>(),
                                                  classifier.contains("thresholds")));
    }
  } catch (const json::exception&) {  // no stage that this program could use: it tells nothing
  }
  return facts;
}

comm::Facts corpus_inputs(const fs::path& folder) {
  const data::CorpusInfo corpus = data::open_corpus(folder);
  const auto split = [&](const std::string& name) {
    const auto found = corpus.splits.find(name);
    if (found == corpus.splits.end()) return std::string(kNone);
    const data::SplitInfo& info = found->second;
    return str(info.fingerprint, ", ", info.tokens, " tokens, ", info.documents, " documents");
  };
  comm::Facts facts{{kTrainingText, split("train")},
                    {"validation text", split("valid")},
                    {kVocabulary, corpus.vocabulary_fingerprint},
                    {"text rules and tokenizer", corpus.text_fingerprint}};
  if (corpus.has_labels()) facts.emplace_back(kLabels, describe_labels(corpus.labels, corpus.multilabel()));
  if (corpus.multilabel()) {
    facts.emplace_back(kLabelSets,
                       str(fingerprint(data::label_sets_text(corpus.label_sets)), ", ", corpus.label_sets.size(), " sets"));
  }
  return facts;
}

comm::Facts parent_inputs(const std::string& from) {
  constexpr std::pair<const char*, const char*> kFiles[] = {
      {kParentWeights, "model.safetensors"}, {"parent's vocabulary", "vocab.txt"}, {"parent's text rules", "text.json"}};
  comm::Facts facts;
  for (const auto& [name, file] : kFiles) {
    facts.emplace_back(name, from == kNone ? kNone : file_fingerprint(finished_stage_in(from) / file));
  }
  return facts;
}

}  // namespace

comm::Facts run_inputs(const fs::path& corpus, const std::string& from) {
  comm::Facts facts = corpus_inputs(corpus);
  append(facts, parent_inputs(from));
  return facts;
}

comm::Facts known_run_inputs(const fs::path& corpus, const std::string& from) {
  comm::Facts facts;
  const auto gone = [](const std::string& path) { log::info("run", str("not compared, for it is gone: ", path)); };
  if (fs::exists(corpus / "corpus.json")) {
    append(facts, corpus_inputs(corpus));
  } else {
    gone(corpus.string());
  }
  if (from == kNone || holds_finished_stage(from)) {
    append(facts, parent_inputs(from));
  } else {
    gone(from);
  }
  return facts;
}

comm::Facts run_machine(const comm::Communicator& comm, Arithmetic asked) {
  comm::Facts facts{{"program", str(ULMFIT_VERSION, ", libtorch ", TORCH_VERSION)},
                    {kBuild, file_fingerprint("/proc/self/exe")},
                    {kDevice, comm.device().is_cpu() ? "CPU" : "GPU"},
                    {"precision", std::string(name_in(kArithmetics, arithmetic_on(comm.device(), asked)))}};
  if (!comm.device().is_cpu()) {  // what CPUs do beside them, small masks and text, has the same bits on all
    facts.emplace_back("GPU", comm.processor());
    return facts;
  }
  constexpr const char* kLevels[] = {"default", "avx2", "avx512"};
  facts.emplace_back("threads", std::to_string(at::get_num_threads()));
  facts.emplace_back("processor", str(cpu_model(), ", ", at::get_cpu_capability(), ", own loops ",
                                      kLevels[static_cast<std::size_t>(cpu_level())]));
  return facts;
}

RunIdentity::RunIdentity(const fs::path& run_folder) : folder_(run_folder) {
  const fs::path file = file_in(folder_);
  if (!fs::exists(file)) return;
  try {
    const json j = parse_json(read_file(file));
    if (j.at("format") != kFormat) throw CheckpointError(str(file.string(), " is not the record of a run"));
    if (j.at("version") != kVersion) {
      throw CheckpointError(str("cannot read ", file.string(), ": version ", j.at("version").dump(),
                                ", this program reads ", kVersion,
                                "; use the program that wrote it, or give another --output"));
    }
    for (const auto& [name, value] : j.at("inputs").items()) inputs_.emplace_back(name, value.get<std::string>());
    for (const auto& [name, value] : j.at("machine").items()) machine_.emplace_back(name, value.get<std::string>());
  } catch (const json::exception& e) {
    throw CheckpointError(str("cannot read ", file.string(), ": ", e.what(),
                              "; what the run was trained on is not known: give another --output, or remove the file if "
                              "you are sure that text, labels and parent are the same"));
  }
}

void RunIdentity::check_inputs(const comm::Facts& now, bool trained) {
  if (!trained) inputs_.clear();
  for (const auto& [name, value] : inputs_told_by_stage(folder_ / "stage")) {
    if (find(inputs_, name) == nullptr) set(inputs_, name, value);
  }
  if (const std::string text = differences(inputs_, now); !text.empty()) {
    throw RunChanged(str("run folder ", folder_.string(), " was trained on other inputs:", text),
                     "use the same inputs, another --output, or --restart to move it aside");
  }
  std::string unknown;
  for (const auto& [name, value] : now) {
    if (find(inputs_, name) == nullptr) unknown += (unknown.empty() ? "" : ", ") + name;
    set(inputs_, name, value);
  }
  if (unknown.empty()) return;
  if (trained) {
    log::warn("run", str("run folder ", folder_.string(), " does not record what it was trained on (", unknown,
                         "): what is given now is taken for it, and recorded"));
  }
  write();
}

void RunIdentity::check_machine(const comm::Facts& now, bool trained, bool reproducible) {
  if (!trained) machine_.clear();
  if (trained && machine_.empty() && reproducible) {
    log::warn(
        "run",
        "--reproducible: this run does not record on what machine and by what program it was begun; on others its bits "
        "differ");
  }
  // Of an older program's record the device is known by what else it names.
  if (!machine_.empty() && find(machine_, kDevice) == nullptr) {
    set(machine_, kDevice, find(machine_, "GPU") != nullptr ? "GPU" : "CPU");
  }
  const std::string decisive = differences(machine_, now, kBuild);
  if (reproducible && !decisive.empty()) {
    throw ConfigError(str("--reproducible: run folder ", folder_.string(), " was begun otherwise:", decisive,
                          "\nthe bits would not be the same: go on as it was begun, or give another --output"));
  }
  const std::string text = differences(machine_, now);
  if (!text.empty()) log::warn("run", str("this run has been going on otherwise, its bits may differ:", text));
  if (text.empty() && machine_.size() == now.size()) return;
  machine_ = now;
  write();
}

void RunIdentity::write() const {
  json j = {{"format", kFormat}, {"version", kVersion}, {"inputs", json::object()}, {"machine", json::object()}};
  for (const auto& [name, value] : inputs_) j["inputs"][name] = value;
  for (const auto& [name, value] : machine_) j["machine"][name] = value;
  write_file_atomic(file_in(folder_), j.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace ulmfit::stages
