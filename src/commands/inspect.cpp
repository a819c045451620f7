// inspect PATH: what a folder of ours holds.
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/manifest.h"
#include "commands/call.h"
#include "data/corpus_folder.h"
#include "reports/number_format.h"
#include "stages/language_model_info.h"
#include "stages/run_folder.h"
#include "stages/stage_folder.h"
#include "text/vocabulary.h"

namespace ulmfit::commands {
namespace {

using nlohmann::json;

json describe_corpus(const fs::path& folder, bool verify) {
  const data::CorpusInfo info = data::open_corpus(folder);
  const text::Vocabulary vocabulary = text::Vocabulary::load(folder / "vocab.txt");
  json out = {{"what", "corpus"},
              {"kind", info.kind},
              {"vocabulary", vocabulary.size()},
              {"labels", info.labels},
              {"provenance", data::corpus_provenance(folder)}};
  if (info.multilabel()) out["label_sets"] = info.label_sets.size();
  for (const auto& [split, summary] : info.splits) {
    const data::ShardSet shards = data::open_split(folder, info, split);
    if (verify) shards.verify();
    const std::int64_t shown = std::min<std::int64_t>(shards.document_start(1), 60);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(shown));
    shards.read(0, ids);
    std::string sample;
    for (const auto id : ids) sample += (sample.empty() ? "" : " ") + vocabulary.token(id);
    out["splits"][split] = {{"tokens", summary.tokens},
                            {"documents", summary.documents},
                            {"fingerprint", summary.fingerprint},
                            {"first_document", sample}};
  }
  return out;
}

json describe_run(const fs::path& folder) {
  json out = {
      {"what", "run folder"}, {"finished", fs::exists(folder / "stage" / kManifestName)}, {"checkpoints", json::array()}};
  if (fs::exists(folder / "run.json")) out["run"] = parse_json(read_file(folder / "run.json"));
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / "checkpoints", error)) {
    if (!fs::exists(entry.path() / kManifestName)) continue;
    const auto defect = manifest_defect(entry.path(), /*checksums=*/true);
    out["checkpoints"].push_back(
        {{"name", entry.path().filename().string()}, {"whole", !defect}, {"defect", defect.value_or("")}});
  }
  return out;
}

bool is_ours(const fs::path& folder) {
  constexpr const char* kFiles[] = {"corpus.json", "stage.json", "state.json", "config.cfg"};
  return std::any_of(std::begin(kFiles), std::end(kFiles), [&](const char* file) { return fs::exists(folder / file); });
}

// Folders of ours in `folder` or in one of those in it: "run/classifier, run/data/lm".
std::string folders_within(const fs::path& folder) {
  constexpr std::size_t kMost = 8;
  std::set<std::string> found;
  std::error_code error;  // no folder, or none to be read
  for (auto at = fs::recursive_directory_iterator(folder, error); !error && at != end(at); at.increment(error)) {
    const bool ours = at->is_directory(error) && is_ours(at->path());
    if (ours && !stages::moved_aside(at->path())) found.insert(at->path().string());
    if (ours || at.depth() >= 1) at.disable_recursion_pending();
  }
  std::string names;
  for (const std::string& name : found) names += (names.empty() ? "" : ", ") + name;
  return found.size() > kMost ? str(found.size(), " of these, such as ", *found.begin()) : names;
}

json describe(const std::string& path, bool verify) {
  const fs::path folder = path;
  json out;
  if (fs::exists(folder / "corpus.json")) {
    out = describe_corpus(folder, verify);
  } else if (fs::exists(folder / "stage.json") || fs::exists(folder / "stage" / "stage.json")) {
    const stages::TrainedModel stage = stages::read_stage(folder, at::kCPU);
    out = stages::to_json(stage.info);
    out["what"] = "stage";
    out["weights"] = stage.model_fingerprint;
    if (const std::string note = stages::note_of_softmax(stage.info); !note.empty()) out["note"] = note;
  } else if (fs::exists(folder / "state.json")) {
    check_manifest<CheckpointError>(folder, /*checksums=*/true);
    out = {{"what", "checkpoint"}, {"state", parse_json(read_file(folder / "state.json"))}};
  } else if (fs::exists(folder / "config.cfg")) {
    out = describe_run(folder);
  } else {
    const std::string within = folders_within(folder);
    throw DataError(str(
        path,
        " is no corpus, run folder, checkpoint or stage of ulmfit (no corpus.json, config.cfg, state.json or stage.json)",
        within.empty() ? "" : "; it holds " + within));
  }
  return out;
}

std::string joined(const json& list) {
  std::string text;
  for (const json& item : list)
    text += str(text.empty() ? "" : ", ", item.is_string() ? item.get<std::string>() : item.dump());
  return text;
}

// "error 0.16, loss 0.4518".
std::string figures_text(const json& figures) {
  std::string text;
  for (const auto& [name, value] : figures.items()) {
    text +=
        str(text.empty() ? "" : ", ", name, " ", value.is_number() ? reports::figure(value.get<double>()) : value.dump());
  }
  return text;
}

std::string corpus_text(const json& corpus) {
  const bool labelled = corpus.at("kind") != "lm", several = corpus.at("kind") == "multilabel";
  std::string text = str(several    ? "texts with several labels each"
                         : labelled ? "labelled texts"
                                    : "text for language models",
                         ", ", corpus.at("vocabulary").dump(), " words\n");
  if (labelled) text += str("classes: ", joined(corpus.at("labels")), '\n');
  if (several) text += str("sets of them that occur: ", corpus.at("label_sets").dump(), '\n');
  const json splits = corpus.value("splits", json::object());
  for (const auto& [split, facts] : splits.items()) {
    text += str(split, ": ", facts.at("documents").dump(), " texts, ", facts.at("tokens").dump(),
                " tokens\n  first: ", facts.at("first_document").get<std::string>(), '\n');
  }
  const json doubts = corpus.at("provenance").value("doubts", json::array());
  for (const json& doubt : doubts) text += str("doubt: ", doubt.get<std::string>(), '\n');
  return text;
}

std::string stage_text(const json& stage) {
  const json& shape = stage.at("shape");
  std::string text = str(stage.at("kind").get<std::string>(), " that reads ", stage.at("direction").get<std::string>(),
                         ": AWD-LSTM ", shape.at("embedding").dump(), "/", shape.at("hidden").dump(), " x ",
                         shape.at("layers").dump(), ", ", shape.at("vocabulary").dump(), " words\n");
  if (stage.contains("classifier")) {
    const json& classifier = stage.at("classifier");
    text += str("classes: ", joined(classifier.at("labels")), '\n');
    if (classifier.contains("thresholds")) {
      text += str("several labels a text, at or above the thresholds ", joined(classifier.at("thresholds")), '\n');
    }
  }
  if (!stage.at("figures").empty()) text += str("on its validation texts: ", figures_text(stage.at("figures")), '\n');
  if (stage.contains("note")) text += str("note: ", stage.at("note").get<std::string>(), '\n');
  text += "how it came to be:\n";
  for (const json& ancestor : stage.at("lineage")) {
    const json& facts = ancestor.at("facts");
    text += str("  ", ancestor.at("command").get<std::string>());
    for (const char* name : {"texts", "tokens", "steps", "seed"}) {
      if (facts.contains(name)) text += str(", ", name, " ", facts.at(name).dump());
    }
    if (facts.contains("figures")) text += str("; ", figures_text(facts.at("figures")));
    text += '\n';
  }
  return text;
}

std::string run_text(const json& run) {
  std::string text = run.at("finished").get<bool>() ? "run folder, finished\n"
                                                    : "run folder, not finished: ulmfit status tells how far it is\n";
  for (const json& checkpoint : run.at("checkpoints")) {
    text += str("checkpoint ", checkpoint.at("name").get<std::string>(), ": ",
                checkpoint.at("whole").get<bool>() ? "whole" : checkpoint.at("defect").get<std::string>(), '\n');
  }
  return text;
}

std::string text_of(const json& described) {
  const std::string what = described.at("what");
  if (what == "corpus") return corpus_text(described);
  if (what == "stage") return stage_text(described);
  if (what == "run folder") return run_text(described);
  const json& state = described.at("state");
  return str("checkpoint", state.contains("step") ? str(" of step ", state.at("step").dump()) : "",
             ", whole; --json shows its state\n");
}

// ulmfit inspect FOLDER [options]
class Inspect : public Command {
 public:
  void take_words(Arguments& arguments) override {
    if (arguments.empty() || arguments[0].starts_with('-')) return;
    arguments[0] = "--path=" + arguments[0];
  }
  void declare(config::OptionSet& set) override {
    set.add("path", path_, "the folder; also as first argument: ulmfit inspect FOLDER");
    set.require("path");
    set.add("verify", verify_, "check every block of every shard too");
    set.add("json", json_, "all of it as JSON, for programs");
  }
  std::string_view introduction() const override {
    return "Says what a prepared corpus, a run folder, a checkpoint or a stage holds, checks its manifest, and shows "
           "lineage "
           "and\n"
           "a decoded sample.";
  }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& /*comm*/) override {
    const json described = describe(path_, verify_);
    return {.result = json_ ? described.dump(1) + "\n" : text_of(described)};
  }

 private:
  std::string path_;
  bool verify_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> inspect() { return std::make_unique<Inspect>(); }

}  // namespace ulmfit::commands
