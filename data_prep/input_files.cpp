#include "data_prep/input_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/hash.h"
#include "data_prep/text_source.h"
#include "text/utf8.h"

namespace ulmfit::data_prep {
namespace {

namespace fs = std::filesystem;

bool has_ending(const fs::path& file, const std::vector<std::string_view>& endings) {
  const std::string ending = without_compression_ending(file).extension().string();
  return endings.empty() || std::find(endings.begin(), endings.end(), ending) != endings.end();
}

std::string list(const std::vector<std::string_view>& endings) {
  std::string text;
  for (const std::string_view ending : endings) text += str(text.empty() ? "" : ", ", ending);
  return text.empty() ? "any" : text;
}

std::vector<InputFile> files_below(const fs::path& folder, const std::string& name,
                                   const std::vector<std::string_view>& endings) {
  std::vector<InputFile> files;
  try {
    constexpr auto kFollow = fs::directory_options::follow_directory_symlink;
    for (auto at = fs::recursive_directory_iterator(folder, kFollow); at != fs::recursive_directory_iterator(); ++at) {
      if (at->path().filename().string().starts_with('.')) {
        if (at->is_directory()) at.disable_recursion_pending();
        continue;
      }
      if (!at->is_regular_file() || !has_ending(at->path(), endings)) continue;
      files.push_back({at->path(), (name / at->path().lexically_relative(folder)).generic_string()});
    }
  } catch (const fs::filesystem_error& e) {
    throw DataError(str("cannot list ", folder.string(), ": ", e.code().message()));
  }
  if (files.empty()) {
    throw DataError(
        str("cannot read ", folder.string(), ": no file in it to read (endings looked for: ", list(endings), ")"));
  }
  std::sort(files.begin(), files.end(), [](const InputFile& a, const InputFile& b) { return a.name < b.name; });
  return files;
}

// Names stand in JSON, and a line each in lists of places.
void check_name(const InputFile& file) {
  text::CleanCounts counts;
  const std::string clean = text::clean_utf8(file.name, counts);
  if (counts.invalid_utf8 > 0)
    throw DataError(str("cannot read ", file.path.string(), ": its name is not UTF-8; rename the file"));
  if (file.name.find_first_of("\n\r") != std::string::npos) {
    throw DataError(str("cannot read ", file.path.string(), ": its name holds a line end; rename the file"));
  }
}

}  // namespace

std::vector<InputFile> list_files(const std::vector<fs::path>& paths, const std::vector<std::string_view>& endings) {
  if (paths.empty()) throw ConfigError("no input file was given");
  std::vector<InputFile> files;
  for (const fs::path& path : paths) {
    std::error_code error;
    const fs::path absolute = fs::absolute(path, error).lexically_normal();
    const fs::path bare = absolute.has_filename() ? absolute : absolute.parent_path();  // "folder/" is "folder"
    const std::string name = bare.filename().string();
    if (!fs::exists(path, error)) {
      throw DataError(str("cannot read ", path.string(), ": no such file or folder; check the path"));
    }
    if (fs::is_directory(path, error)) {
      for (InputFile& file : files_below(path, name, endings)) files.push_back(std::move(file));
    } else {
      files.push_back({path, name});
    }
  }
  for (const InputFile& file : files) check_name(file);
  return files;
}

nlohmann::json describe_files(const std::vector<InputFile>& files) {
  nlohmann::json described = nlohmann::json::array();
  for (const InputFile& file : files) {
    std::error_code error;
    const auto bytes = fs::file_size(file.path, error);
    if (error) throw DataError(str("cannot read ", file.path.string(), ": ", error.message()));
    described.push_back({{"name", file.name}, {"bytes", bytes}, {"xxh3", file_fingerprint(file.path)}});
  }
  return described;
}

}  // namespace ulmfit::data_prep
