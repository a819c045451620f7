// inspect PATH: what a folder of ours holds.
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "base/manifest.h"
#include "commands/call.h"
#include "data/corpus_folder.h"
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
  } else if (fs::exists(folder / "state.json")) {
    check_manifest<CheckpointError>(folder, /*checksums=*/true);
    out = {{"what", "checkpoint"}, {"state", parse_json(read_file(folder / "state.json"))}};
  } else if (fs::exists(folder / "config.cfg")) {
    out = describe_run(folder);
  } else {
    throw DataError(str(
        path,
        " is no corpus, run folder, checkpoint or stage of ulmfit (no corpus.json, config.cfg, state.json or stage.json)"));
  }
  return out;
}

// ulmfit inspect FOLDER [options]
class Inspect : public Command {
 public:
  void take_words(Arguments& arguments) override {
    if (arguments.empty() || arguments[0].starts_with("--")) return;
    arguments[0] = "--path=" + arguments[0];
  }
  void declare(config::OptionSet& set) override {
    set.add("path", path_, "the folder; also as first argument: ulmfit inspect FOLDER");
    set.require("path");
    set.add("verify", verify_, "check every block of every shard too");
  }
  std::string_view introduction() const override {
    return "Says what a prepared corpus, a run folder, a checkpoint or a stage holds, checks its manifest, and shows "
           "lineage "
           "and\n"
           "a decoded sample. Prints JSON.";
  }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& /*comm*/) override {
    return {.result = describe(path_, verify_).dump(1) + "\n"};
  }

 private:
  std::string path_;
  bool verify_ = false;
};

}  // namespace

std::unique_ptr<Command> inspect() { return std::make_unique<Inspect>(); }

}  // namespace ulmfit::commands
