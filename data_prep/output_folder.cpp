#include "data_prep/output_folder.h"

#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.h"
#include "data/corpus_folder.h"
#include "data/file_lists.h"

namespace ulmfit::data_prep {
namespace {

namespace fs = std::filesystem;

fs::path bare(const fs::path& path) {  // "folder/" is "folder"
  return path.has_filename() ? path : path.parent_path();
}

std::string differing_keys(const nlohmann::json& before, const nlohmann::json& now) {
  std::string keys;
  for (const auto& item : now.items()) {
    if (before.is_object() && before.value(item.key(), nlohmann::json()) == item.value()) continue;
    keys += str(keys.empty() ? "" : ", ", item.key());
  }
  return keys;
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

PartialFolder::PartialFolder(const fs::path& output) : output_(bare(output)), partial_(output_.string() + ".partial") {
  make_directories(partial_);
  lock_.emplace(partial_);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(partial_)) {
    if (entry.path().filename() == ".lock") continue;
    fs::remove_all(entry.path(), error);
    if (error) throw FileError(str("cannot remove ", entry.path().string(), " of an earlier run: ", error.message()));
  }
}

PartialFolder::~PartialFolder() {
  if (!lock_) return;
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
}

void PartialFolder::commit() {
  std::error_code error;
  fs::remove(partial_ / ".lock", error);
  sync_directory(partial_);
  rename_synced(partial_, output_);
  lock_.reset();
}

}  // namespace ulmfit::data_prep
