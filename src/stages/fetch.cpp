#include "stages/fetch.h"

#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/partial_folder.h"
#include "base/program.h"
#include "interop/archive.h"
#include "stages/options.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {
namespace {

std::string file_name(const std::string& address) {
  const std::string path = address.substr(0, address.find_first_of("?#"));
  return path.substr(path.rfind('/') + 1);
}

void check(const FetchOptions& options) {
  if (!options.address.starts_with("http://") && !options.address.starts_with("https://")) {
    throw ConfigError(str("fetch: --address is '", options.address,
                          "', expected one that begins with https:// or http://; give the name of a model (ulmfit fetch "
                          "--help lists them), or --address"));
  }
  if (!options.sha256.empty() &&
      (options.sha256.size() != 64 || options.sha256.find_first_not_of("0123456789abcdef") != std::string::npos)) {
    throw ConfigError(str("fetch: --sha256 is '", options.sha256, "', expected 64 hexadecimal digits in lower case"));
  }
}

void download(const FetchOptions& options, const fs::path& to) {
  log::info("fetch", str("downloading ", options.address));
  const int status = run_program({"curl", "--fail", "--location", "--proto", "=http,https", "--silent", "--show-error",
                                  "--connect-timeout", "30", "--speed-limit", "1", "--speed-time", "60", "--retry", "3",
                                  "--output", to.string(), "--", options.address});
  if (status == 0) return;
  throw DataError(str("cannot download ", options.address, ": curl ended with ", status,
                      " (its message is above); fetch the file ", file_name(options.address),
                      " where there is a network, and give it by --archive FILE"));
}

std::string checked_sum(const FetchOptions& options, const fs::path& archive) {
  const std::string sum = sha256_of(archive);
  if (options.sha256.empty()) {
    log::warn("fetch", str("no checksum is known for ", options.address, "; what came has sha256 ", sum));
  } else if (sum != options.sha256) {
    throw DataError(str("what came from ", options.address, " is not what was published: sha256 is ", sum, ", expected ",
                        options.sha256, "; fetch it again, and if it stays so do not use it"));
  }
  return sum;
}

bool fetched_before(const FetchOptions& options, const text::TextPipeline& pipeline) {
  if (!holds_finished_stage(options.output)) return false;
  const TrainedModel stage = read_stage(options.output, at::kCPU);
  if (stage.info.lineage.size() != 1 || stage.info.lineage[0].command != "import") return false;
  const nlohmann::json& facts = stage.info.lineage[0].facts;
  return facts.value("address", "") == options.address && stage.info.backward == options.backward &&
         stage.text->fingerprint() == pipeline.fingerprint() &&
         (options.sha256.empty() || facts.value("sha256", "") == options.sha256);
}

}  // namespace

void FetchOptions::declare(config::OptionSet& set) {
  set.add("address", address, "of an archive (.tgz, .tar.xz, .zip) with one .pth and one .pkl of fastai");
  set.add("sha256", sha256, "its checksum; without one the lineage keeps that of what came");
  set.add("archive", archive, "the file, if it is here already: nothing is downloaded");
  set.add("licence", licence, "under which it was published; for the lineage");
  set.add("note", note, "on the model; for the lineage");
  set.add("output", output, "folder for the stage");
  set.require("output");
  set.add("direction", backward, kBackward, "which way the model reads");
  declare_foreign_tokens(set, foreign_tokens);
}

nlohmann::json fetch_model(const FetchOptions& options, const text::TextPipeline& pipeline, const config::OptionSet& set) {
  check(options);
  check_foreign_tokens(options.foreign_tokens);
  if (fetched_before(options, pipeline)) {
    log::info("fetch", str("nothing to do: ", options.output, " holds the model of ", options.address));
    return {{"imported", "before"}, {"output", options.output}};
  }
  refuse_used(options.output, "fetch");
  if (!options.note.empty()) log::info("fetch", str(options.address, ": ", options.note));
  if (!options.licence.empty()) log::info("fetch", str("licence: ", options.licence));
  const PartialFolder folder(options.output);  // beside the output, where there is room for what is to lie there
  const fs::path archive = options.archive.empty() ? folder.path() / "archive" : fs::path(options.archive);
  if (options.archive.empty()) download(options, archive);
  const std::string sum = checked_sum(options, archive);
  ImportOptions import;
  import.weights = folder.path() / "model.pth";
  import.vocabulary = folder.path() / "vocab.pkl";
  import.output = options.output;
  import.backward = options.backward;
  import.foreign_tokens = options.foreign_tokens;
  import.origin = {{"address", options.address}, {"sha256", sum}, {"licence", options.licence}, { "note", options.note }};
  interop::unpack_file(archive, ".pth", import.weights);
  interop::unpack_file(archive, ".pkl", import.vocabulary);
  return import_fastai(import, pipeline, set);
}

}  // namespace ulmfit::stages
