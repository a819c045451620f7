#include "data_prep/output_folder.h"

#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.h"
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

}  // namespace ulmfit::data_prep
