#include "stages/fetch.h"

#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/partial_folder.h"
#include "base/program.h"
#include "interop/archive.h"
#include "stages/options.h"
#include "stages/stage_folder.h"
#include "text/utf8.h"

namespace ulmfit::stages {
namespace {

std::string file_name(const std::string& address) {
  const std::string path = address.substr(0, address.find_first_of("?#"));
  return path.substr(path.rfind('/') + 1);
}

// Addresses are written into the lineage, and go with it wherever the model goes.
void check(const FetchOptions& options) {
  const std::string& address = options.address;
  if (!address.starts_with("http://") && !address.starts_with("https://")) {
    throw ConfigError(str("fetch: --address is '", address,
                          "', expected one that begins with https:// or http://; give the name of a model (ulmfit fetch "
                          "--help lists them), or --address"));
  }
  const std::string host = address.substr(address.find("//") + 2);
  if (host.substr(0, host.find('/')).find('@') != std::string::npos) {
    throw ConfigError(
        "fetch: --address holds a user's name or password, which the model's lineage would tell; curl takes "
        "them from ~/.netrc");
  }
  if (!options.sha256.empty() &&
      (options.sha256.size() != 64 || options.sha256.find_first_not_of("0123456789abcdef") != std::string::npos)) {
    throw ConfigError(str("fetch: --sha256 is '", options.sha256, "', expected 64 hexadecimal digits in lower case"));
  }
  for (const std::string* text : {&options.address, &options.license, &options.note}) {
    text::CleanCounts counts;
    text::clean_utf8(*text, counts);
    if (counts.invalid_utf8 > 0) throw ConfigError("fetch: --address, --license and --note must be valid UTF-8");
  }
  if (!options.archive.empty() && !fs::is_regular_file(options.archive)) {
    throw ConfigError(str("fetch: --archive is '", options.archive, "', which is no file; give the downloaded archive"));
  }
}

// Without what follows a ?: keys to the file, perhaps.
std::string address_told(const FetchOptions& options) { return options.address.substr(0, options.address.find('?')); }

// The options as the card tells them: without keys, too.
std::string told(std::string config, const FetchOptions& options) {
  for (std::size_t at = 0; (at = config.find(options.address, at)) != std::string::npos;) {
    config.replace(at, options.address.size(), address_told(options));
    at += address_told(options).size();
  }
  return config;
}

void download(const FetchOptions& options, const fs::path& to) {
  log::info("fetch", str("downloading ", address_told(options)));
  // A redirection may not give up https; [] and {} are characters like others.
  const char* redirected = options.address.starts_with("https://") ? "=https" : "=http,https";
  const int status = run_program({"curl",
                                  "--fail",
                                  "--location",
                                  "--globoff",
                                  "--proto",
                                  "=http,https",
                                  "--proto-redir",
                                  redirected,
                                  "--silent",
                                  "--show-error",
                                  "--connect-timeout",
                                  "30",
                                  "--speed-limit",
                                  "1",
                                  "--speed-time",
                                  "60",
                                  "--retry",
                                  "3",
                                  "--max-filesize",
                                  std::to_string(interop::kLongestUnpacked),
                                  "--output",
                                  to.string(),
                                  "--",
                                  options.address});
  if (status == 0) return;
  constexpr int kCannotWrite = 23;
  throw DataError(str("cannot download ", address_told(options), ": curl ended with ", status, " (its message is above); ",
                      status == kCannotWrite ? str("make room beside ", options.output)
                                             : str("fetch the file ", file_name(options.address),
                                                   " where there is a network, and give it by --archive FILE")));
}

std::string checked_sum(const FetchOptions& options, const fs::path& archive) {
  const std::string sum = sha256_of(archive);
  if (options.sha256.empty()) {
    log::warn("fetch", str("no checksum is known for ", address_told(options), "; what came has sha256 ", sum));
  } else if (sum != options.sha256) {
    throw DataError(str("what came from ", address_told(options), " is not what was published: sha256 is ", sum,
                        ", expected ", options.sha256, "; fetch it again, and if it stays so do not use it"));
  }
  return sum;
}

bool fetched_before(const FetchOptions& options, const text::TextPipeline& pipeline) {
  const std::optional<TrainedModel> stage = imported_stage(options.output, options.backward, pipeline);
  if (!stage) return false;
  const nlohmann::json& facts = stage->info.lineage[0].facts;
  const std::string sum = facts.value("sha256", "");
  return facts.value("address", "") == address_told(options) && (options.sha256.empty() || sum == options.sha256) &&
         (options.archive.empty() || sum == sha256_of(options.archive));
}

}  // namespace

void FetchOptions::declare(config::OptionSet& set) {
  set.add("address", address, "of an archive (.tgz, .tar.xz, .zip) with one .pth and one .pkl of fastai");
  set.add("sha256", sha256, "its checksum; without one the lineage keeps that of what came");
  set.add("archive", archive, "the file, if it is here already: nothing is downloaded");
  set.add("license", license, "under which it was published; for lineage and card");
  set.add_alias("licence", "license");
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
    log::info("fetch", str("nothing to do: ", options.output, " holds the model of ", address_told(options)));
    return {{"imported", "before"}, {"output", options.output}};
  }
  refuse_used(options.output, "fetch");
  if (!options.note.empty()) log::info("fetch", str(address_told(options), ": ", options.note));
  if (!options.license.empty()) log::info("fetch", str("license: ", options.license));
  const PartialFolder folder(options.output, ".download.partial");  // where there is room for what is to lie beside it
  const fs::path archive = options.archive.empty() ? folder.path() / "archive" : fs::path(options.archive);
  if (options.archive.empty()) download(options, archive);
  const std::string sum = checked_sum(options, archive);
  ImportOptions import;
  import.weights = folder.path() / "model.pth";
  import.vocabulary = folder.path() / "vocab.pkl";
  import.output = options.output;
  import.backward = options.backward;
  import.foreign_tokens = options.foreign_tokens;
  import.origin["address"] = address_told(options);
  import.origin["sha256"] = sum;
  import.origin["license"] = options.license;
  import.origin["note"] = options.note;
  interop::unpack_file(archive, ".pth", import.weights);
  interop::unpack_file(archive, ".pkl", import.vocabulary);
  return import_fastai(import, pipeline, told(set.to_config(), options));
}

}  // namespace ulmfit::stages
