// inspect PATH: what a folder of ours holds.
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "base/manifest.h"
#include "commands/commands.h"
#include "config/option_set.h"
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

}  // namespace

ExitCode inspect(const Arguments& arguments) {
  Arguments rest = arguments;
  std::string path;
  if (!rest.empty() && !rest[0].starts_with("--")) {
    path = rest[0];
    rest.erase(rest.begin());
  }
  bool verify = false;
  config::OptionSet set("inspect");
  set.add("path", path, "the folder; also as first argument: ulmfit inspect FOLDER");
  set.add("verify", verify, "check every block of every shard too");
  if (set.parse(rest).help || path.empty()) {
    std::cout << set.help(
        "Says what a prepared corpus, a run folder, a checkpoint or a stage holds, checks its manifest, and shows lineage "
        "and\n"
        "a decoded sample. Prints JSON.");
    return path.empty() && !rest.empty() ? ExitCode::kDone : (path.empty() ? ExitCode::kConfig : ExitCode::kDone);
  }
  const fs::path folder = path;
  json out;
  if (fs::exists(folder / "corpus.json")) {
    out = describe_corpus(folder, verify);
  } else if (fs::exists(folder / "stage.json") || fs::exists(folder / "stage" / "stage.json")) {
    const stages::Stage stage = stages::read_stage(folder, at::kCPU);
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
  std::cout << out.dump(1) << std::endl;
  return ExitCode::kDone;
}

}  // namespace ulmfit::commands
