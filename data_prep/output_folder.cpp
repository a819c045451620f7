#include "data_prep/output_folder.h"

#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "data/corpus_folder.h"
#include "data/file_lists.h"

namespace ulmfit::data_prep {
namespace {

namespace fs = std::filesystem;

std::string differing_keys(const nlohmann::json& before, const nlohmann::json& now) {
  std::string keys;
  for (const auto& item : now.items()) {
    if (before.is_object() && before.value(item.key(), nlohmann::json()) == item.value()) continue;
    keys += str(keys.empty() ? "" : ", ", item.key());
  }
  return keys;
}

void add_names(const nlohmann::json& value, std::set<std::string>& names) {
  if (data::is_file(value)) {
    const std::string name = value.at("name");
    names.insert(name.substr(0, name.find('/')));
  } else if (value.is_structured()) {
    for (const auto& part : value) add_names(part, names);
  }
}

// The files and folders that a corpus was prepared from, by their names alone.
std::set<std::string> names_prepared_from(const fs::path& corpus) {
  std::set<std::string> names;
  const nlohmann::json request = data::corpus_provenance(corpus).value("request", nlohmann::json::object());
  for (const char* key : {"inputs", "valid_inputs", "train", "valid", "test", "unlabelled"}) {
    add_names(request.value(key, nlohmann::json()), names);
  }
  add_names(data::corpus_file_lists(corpus), names);
  return names;
}

}  // namespace

bool already_prepared(const fs::path& output, const std::vector<std::string>& corpora, const nlohmann::json& request) {
  std::error_code error;
  if (!fs::exists(output, error)) return false;
  if (!fs::is_directory(output, error)) {
    throw DataError(
        str("cannot write to ", output.string(), ": it is a file where a folder is expected; give another --output"));
  }
  if (fs::is_empty(output, error)) return false;
  for (const std::string& corpus : corpora) {
    const fs::path folder = output / corpus;
    nlohmann::json before;
    try {
      data::open_corpus(folder);
      before = data::corpus_provenance(folder).value("request", nlohmann::json());
    } catch (const Error& e) {
      throw DataError(str("cannot write to ", output.string(),
                          ": the folder is not empty and is not the finished work of this ", "command (", e.what(),
                          "); give another --output or remove it"));
    }
    const std::string keys = differing_keys(before, data::summarize_file_lists(request));
    if (keys.empty()) continue;
    throw DataError(str("cannot write to ", output.string(),
                        ": it was prepared from other text or with other options (different: ", keys,
                        "); give another --output or remove it"));
  }
  return true;
}

std::optional<nlohmann::json> what_to_prepare(const fs::path& output, const std::vector<std::string>& corpora,
                                              const std::vector<fs::path>& inputs,
                                              const std::function<nlohmann::json(bool with_files)>& request) {
  std::set<std::string> names;
  bool all_gone = true;
  for (const fs::path& input : inputs) {
    if (input.empty()) continue;
    std::error_code error;
    all_gone = all_gone && !fs::exists(input, error);
    const fs::path bare = fs::absolute(input, error).lexically_normal();
    names.insert((bare.has_filename() ? bare : bare.parent_path()).filename().string());
  }
  if (all_gone && already_prepared(output, corpora, request(/*with_files=*/false)) &&
      names == names_prepared_from(output / corpora.front())) {
    log::warn("prepare", str(output.string(), " is taken as it was prepared, with the same options: ", *names.begin(),
                             names.size() == 1 ? " is" : " and the rest are",
                             " not there any more, to see whether the text is the same"));
    return std::nullopt;
  }
  nlohmann::json asked = request(/*with_files=*/true);
  if (!already_prepared(output, corpora, asked)) return asked;
  log::info("prepare", str(output.string(), " is already prepared from the same text and options"));
  return std::nullopt;
}

void require_apart(const fs::path& output, const std::vector<fs::path>& inputs) {
  std::error_code error;
  const fs::path made = fs::weakly_canonical(fs::absolute(output, error), error);
  for (const fs::path& input : inputs) {
    if (!fs::is_directory(input, error)) continue;
    const fs::path way = made.lexically_relative(fs::canonical(input, error));
    if (way.empty() || *way.begin() == "..") continue;
    throw ConfigError(str("cannot write to ", output.string(), ": it lies in the folder ", input.string(),
                          " that texts are read from, and would be read itself; give an --output elsewhere"));
  }
}

}  // namespace ulmfit::data_prep
