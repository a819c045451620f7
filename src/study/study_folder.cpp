#include "study/study_folder.h"

#include <algorithm>
#include <iterator>
#include <sstream>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/file_lock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/manifest.h"
#include "data_prep/input_files.h"
#include "stages/compute.h"

namespace ulmfit::study {
namespace {

using nlohmann::json;

constexpr const char* kFile = "study.json";
constexpr const char* kFormat = "ulmfit-study";
constexpr int kVersion = 1;
constexpr std::string_view kParts[] = {".lock", ".worker", "study.json", "texts", "cells", "results.csv", "study.html"};

json to_json(const Cell& cell) {
  return {{"name", cell.name}, {"needs", cell.needs},     {"setting", cell.setting}, {"labels", cell.labels},
          {"seed", cell.seed}, {"seconds", cell.seconds}, {"bytes", cell.bytes}};
}

Cell cell_from(const json& entry) {
  return {.name = entry.at("name"),
          .needs = entry.at("needs"),
          .setting = entry.at("setting"),
          .labels = entry.at("labels"),
          .seed = entry.at("seed"),
          .seconds = entry.at("seconds"),
          .bytes = entry.at("bytes")};
}

json to_json(const Table& table) {
  json rows = json::array();
  for (const Row& row : table.rows) rows.push_back({{"label", row.label}, {"setting", row.setting}});
  return {{"title", table.title}, {"note", table.note}, {"rows", rows}};
}

Table table_from(const json& entry) {
  Table table{entry.at("title"), entry.at("note"), {}};
  for (const json& row : entry.at("rows")) table.rows.push_back({row.at("label"), row.at("setting")});
  return table;
}

json describe_stage_at(const std::string& path) {
  return {{"manifest", file_fingerprint(stages::finished_stage_in(path) / kManifestName)}};
}

json describe_files_of(const fs::path& path) { return data_prep::describe_files(data_prep::list_files({path})); }

// "key: before there, now": of options that a run folder may change, and a study may not: its pipelines are written.
std::string differences_of_compute(const config::OptionSet& settings, const std::string& before) {
  const std::vector<std::string> may_change = settings.keys(config::OnResume::kMayChange);
  const auto values_of = [](const std::string& text) {
    const auto pairs = config::flat(config::read_ini(text, kFile));
    return std::map<std::string, std::string>(pairs.begin(), pairs.end());
  };
  const auto old = values_of(before), current = values_of(settings.to_config());
  std::string text;
  for (const std::string& key : may_change) {
    if (key == "output" || key == "launcher" || !old.contains(key) || old.at(key) == current.at(key)) continue;
    text += str("\n  --", key, ": ", old.at(key), " there, ", current.at(key), " now");
  }
  return text;
}

// The lines of a pipeline but for those of what it reads from outside the study, which may have moved.
std::vector<std::string> settings_of(const std::string& pipeline) {
  std::vector<std::string> settings;
  std::istringstream in(pipeline);
  for (std::string line; std::getline(in, line);) {
    if (line.find(" = /") == std::string::npos) settings.push_back(line);
  }
  return settings;
}

}  // namespace

void check_parts(const fs::path& folder) {
  if (!fs::exists(folder)) return;
  if (!fs::is_directory(folder)) {
    throw DataError(str("cannot make a study in ", folder.string(), ": it is a file; give a folder as --output"));
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    // What a killed worker was writing, too: write_file_atomic's next call takes its place.
    fs::path name = entry.path().filename();
    if (name.extension() == ".tmp") name = name.stem();
    if (std::find(std::begin(kParts), std::end(kParts), name.string()) != std::end(kParts)) continue;
    throw DataError(str("cannot make a study in ", folder.string(), ": it holds ", entry.path().filename().string(),
                        ", which is no part of one; give another --output"));
  }
}

bool StudyFolder::exists() const { return fs::exists(folder_ / kFile); }

Study StudyFolder::read() const {
  const fs::path file = folder_ / kFile;
  try {
    const json all = parse_json(read_file(file));
    if (all.at("format") != kFormat || all.at("version") != kVersion) {
      throw DataError(str("cannot read ", file.string(), ": expected a study of version ", kVersion, ", found ",
                          all.at("format").dump(), " of version ", all.at("version").dump()));
    }
    Study study{.kind = all.at("kind"),
                .config = all.at("config"),
                .sources = all.at("sources"),
                .places = all.value("places", std::vector<std::string>()),
                .cells = {},
                .notes = all.at("notes"),
                .tables = {}};
    for (const json& entry : all.at("cells")) study.cells.push_back(cell_from(entry));
    for (const json& entry : all.at("tables")) study.tables.push_back(table_from(entry));
    return study;
  } catch (const json::exception& e) {
    throw DataError(str("cannot read ", file.string(), ": ", e.what(), "; give another --output"));
  }
}

void StudyFolder::write(const Study& study, const Plan& plan) const {
  check_parts(folder_);
  for (const auto& [name, content] : plan.files) {
    make_directories((folder_ / name).parent_path());
    write_file_atomic(folder_ / name, content);
  }
  for (const auto& [name, text] : plan.pipelines) {
    make_directories(cell(name));
    write_file_atomic(cell(name) / "pipeline.cfg", text);
  }
  write_study(study);
}

void StudyFolder::write_study(const Study& study) const {
  json all = {{"format", kFormat},      {"version", kVersion},      {"kind", study.kind},
              {"config", study.config}, {"sources", study.sources}, {"places", study.places},
              {"notes", study.notes},   {"cells", json::array()},   {"tables", json::array()}};
  for (const Cell& c : study.cells) all["cells"].push_back(to_json(c));
  for (const Table& table : study.tables) all["tables"].push_back(to_json(table));
  write_file_atomic(folder_ / kFile, all.dump(1) + "\n");
}

void StudyFolder::sources_have_moved(Study study, const std::vector<std::string>& places) const {
  for (const Cell& c : study.cells) {
    const fs::path file = cell(c.name) / "pipeline.cfg";
    std::istringstream before(read_file(file));
    std::string text;
    for (std::string line; std::getline(before, line);) {
      for (std::size_t i = 0; i < std::min(places.size(), study.places.size()); ++i) {
        const std::string old = " = " + config::ini_value(study.places[i]);
        if (!line.ends_with(old)) continue;
        line.replace(line.size() - old.size(), old.size(), " = " + config::ini_value(places[i]));
        break;
      }
      text += line + '\n';
    }
    write_file_atomic(file, text);
  }
  study.places = places;
  write_study(study);
}

Record StudyFolder::record(const std::string& name) const {
  const fs::path file = cell(name) / "state.json";
  if (!fs::exists(file)) return {};
  try {
    const json entry = parse_json(read_file(file));
    Record record{.seconds = entry.at("seconds"),
                  .exit_code = entry.at("exit_code"),
                  .message = entry.at("message"),
                  .ended = entry.at("ended")};
    for (const State state : {State::kStopped, State::kDone, State::kBroken}) {
      if (entry.at("state") == name_of(state)) record.state = state;
    }
    return record;
  } catch (const json::exception& e) {
    log::warn("study", str(file.string(), " cannot be read (", e.what(), "): the cell is run again, from where it was"));
    return {};
  }
}

std::map<std::string, Record> StudyFolder::records(const std::vector<Cell>& cells) const {
  std::map<std::string, Record> all;
  for (const Cell& c : cells) {
    Record& found = all[c.name] = record(c.name);
    if (found.state == State::kBroken && FolderLock::holder(cell(c.name))) found.state = State::kOpen;
  }
  return all;
}

void StudyFolder::keep(const std::string& name, const Record& record) const {
  const json entry = {{"state", name_of(record.state)},
                      {"seconds", record.seconds},
                      {"exit_code", record.exit_code},
                      {"message", record.message},
                      {"ended", record.ended}};
  write_file_atomic(cell(name) / "state.json", entry.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
}

std::optional<std::string> StudyFolder::holder(const std::string& name, State state) const {
  const bool may_run = state == State::kOpen || state == State::kStopped;
  return may_run ? FolderLock::holder(cell(name)) : std::nullopt;
}

json sources_of(const Request& request) {
  const data_prep::PrepareLabelledOptions& options = request.sources;
  json sources = {{"train", describe_files_of(options.train)}, {"test", describe_files_of(options.test)}};
  if (!options.valid.empty()) sources["valid"] = describe_files_of(options.valid);
  for (const fs::path& path : options.unlabelled) sources["unlabelled"].push_back(describe_files_of(path));
  for (const std::string& path : request.from) sources["from"].push_back(describe_stage_at(path));
  if (!request.vanilla.empty()) sources["vanilla"] = describe_stage_at(request.vanilla);
  if (!request.general.empty()) sources["general"] = describe_files_of(request.general);
  return sources;
}

std::vector<std::string> places_of(const Request& request) {
  std::vector<std::string> places;
  for (const auto& [key, value] : request.given_sources) {
    if (key == "train" || key == "valid" || key == "test" || key == "unlabelled") places.push_back(value);
  }
  places.insert(places.end(), request.from.begin(), request.from.end());
  for (const std::string& path : {request.vanilla, request.general}) {
    if (!path.empty()) places.push_back(path);
  }
  return places;
}

bool require_same_study(const StudyFolder& folder, const Study& study, const Request& request,
                        const config::OptionSet& settings) {
  const std::string held = str(folder.path().string(), " holds another study");
  if (study.kind != request.kind) {
    throw ConfigError(str(held, ": ", study.kind, ", not ", request.kind, "; give another --output"));
  }
  std::string differing = differences_of_compute(settings, study.config), sizes;
  for (const auto& d : settings.differences(study.config)) {
    if (stages::is_older_default_precision(d)) continue;
    (d.key == "labels" || d.key == "seeds" ? sizes : differing) +=
        str("\n  --", d.key, ": ", d.before, " there, ", d.now, " now");
  }
  if (differing.empty()) {
    const json now = sources_of(request);
    for (const auto& [name, files] : now.items()) {
      if (!study.sources.contains(name) || study.sources.at(name) != files) {
        differing += str("\n  --", name, ": its content has changed since the study began");
      }
    }
  }
  if (differing.empty()) return sizes.empty();
  throw ConfigError(str(held, ":", differing, sizes, "\nput back what was there, or give another --output"));
}

bool grows(const StudyFolder& folder, const Study& study, const Plan& plan) {
  const Cell* missing = nullptr;
  for (const Cell& cell : study.cells) {
    const auto planned = plan.pipelines.find(cell.name);
    if (planned == plan.pipelines.end()) {
      if (missing == nullptr) missing = &cell;
    } else if (settings_of(planned->second) != settings_of(read_file(folder.cell(cell.name) / "pipeline.cfg"))) {
      throw ConfigError(str(folder.path().string(), " holds a study with the cell ", cell.name,
                            ", which would be another one now: it was begun by a version that chose other settings; go on "
                            "with its own --labels and --seeds, or give another --output"));
    }
  }
  const bool more = std::any_of(plan.pipelines.begin(), plan.pipelines.end(), [&](const auto& planned) {
    return std::none_of(study.cells.begin(), study.cells.end(), [&](const Cell& c) { return c.name == planned.first; });
  });
  if (missing != nullptr && more) {
    throw ConfigError(str(folder.path().string(), " holds a study with the cell ", missing->name,
                          ", which is not among those of the --labels and --seeds now: a study grows by more of both; give "
                          "all that it has and the new ones, or another --output"));
  }
  return more;
}

}  // namespace ulmfit::study
