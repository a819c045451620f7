#include "base/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

namespace ulmfit {
namespace {

using nlohmann::json;

constexpr std::string_view kFormat = "ulmfit-manifest";
constexpr int kVersion = 1;
constexpr std::string_view kTemporaryName =
    "MANIFEST.json.tmp";  // of write_file_atomic: a leftover is about to be replaced

struct Entry {
  std::string name;
  std::uint64_t bytes = 0;
  std::string xxh3;
};

// Relative path names of all files below the folder; syncs the folders below it on the way.
std::vector<std::string> file_names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).generic_string();
    if (name == kManifestName || name == kTemporaryName || name == ".lock") continue;
    const fs::file_status status = entry.symlink_status();
    if (fs::is_directory(status)) {
      sync_directory(entry.path());
    } else if (fs::is_regular_file(status)) {
      names.push_back(name);
    } else {
      throw FileError(str("cannot write the manifest of ", folder.string(), ": ", name,
                          " is a link or a special file; only regular files and folders may be in it: remove it"));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Why the name may not be in a manifest, or nothing.
std::optional<std::string> name_defect(const std::string& name) {
  if (name.empty() || name.front() == '/') return "is not a relative path";
  if (name.find('\0') != std::string::npos) return "has a zero byte";
  if (name == kManifestName) return "is the manifest itself";
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find('/', at), name.size());
    const std::string_view part = std::string_view(name).substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return "has an empty part, \".\" or \"..\"";
    at = end + 1;
  }
  return std::nullopt;
}

// Throws json::exception for a missing key or a wrong type.
std::vector<Entry> parse(const std::string& text) {
  const json manifest = parse_json(text);
  if (manifest.at("format").get_ref<const std::string&>() != kFormat) {
    throw FileError(str("its format is not \"", kFormat, '"'));
  }
  if (manifest.at("version") != kVersion) {
    throw FileError(str("version ", manifest.at("version").dump(), " where this program knows version ", kVersion));
  }
  std::vector<Entry> entries;
  for (const json& file : manifest.at("files").get_ref<const json::array_t&>()) {
    Entry entry{file.at("name").get<std::string>(), 0, file.at("xxh3").get<std::string>()};
    if (!file.at("bytes").is_number_unsigned()) throw FileError(str("the size of ", entry.name, " is not a whole number"));
    entry.bytes = file.at("bytes").get<std::uint64_t>();
    if (const auto defect = name_defect(entry.name))
      throw FileError(str("file name ", file.at("name").dump(), " ", *defect));
    if (!entries.empty() && entry.name <= entries.back().name) {
      throw FileError(str("file names are not sorted: \"", entry.name, "\" after \"", entries.back().name, '"'));
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

// Whether the file or a folder on the way to it is a symbolic link.
bool is_behind_link(const fs::path& folder, const std::string& name) {
  fs::path at = folder;
  for (const fs::path& part : fs::path(name)) {
    at /= part;
    if (fs::is_symlink(fs::symlink_status(at))) return true;
  }
  return false;
}

std::optional<std::string> entry_defect(const fs::path& folder, const Entry& entry, bool checksums) {
  const fs::path path = folder / entry.name;
  if (is_behind_link(folder, entry.name)) return str(path.string(), ": is, or lies behind, a symbolic link");
  if (!fs::exists(path)) return str(path.string(), ": the manifest names it, but it is missing");
  if (!fs::is_regular_file(path)) return str(path.string(), ": is not a regular file");
  if (const auto bytes = fs::file_size(path); bytes != entry.bytes) {
    return str(path.string(), ": has ", bytes, " bytes, the manifest says ", entry.bytes);
  }
  if (!checksums) return std::nullopt;
  if (const std::string found = file_fingerprint(path); found != entry.xxh3) {
    return str(path.string(), ": has checksum ", found, ", the manifest says ", entry.xxh3, ": the content has changed");
  }
  return std::nullopt;
}

}  // namespace

void write_manifest(const fs::path& folder) {
  try {
    json files = json::array();
    for (const std::string& name : file_names(folder)) {
      const fs::path path = folder / name;
      files.push_back({{"name", name}, {"bytes", fs::file_size(path)}, {"xxh3", file_fingerprint(path)}});
    }
    const json manifest = {{"format", kFormat}, {"version", kVersion}, {"files", files}};
    write_file_atomic(folder / kManifestName, manifest.dump(2) + "\n");
  } catch (const fs::filesystem_error& e) {
    throw FileError(str("cannot write the manifest of ", folder.string(), ": ", e.what()));
  } catch (const json::exception& e) {
    throw FileError(str("cannot write the manifest of ", folder.string(), ": a file name is not UTF-8: ", e.what()));
  }
}

std::optional<std::string> manifest_defect(const fs::path& folder, bool checksums) {
  const fs::path path = folder / kManifestName;
  try {
    if (!fs::is_regular_file(fs::symlink_status(path))) {
      return str(folder.string(), ": no ", kManifestName, ", so the folder is incomplete or not one that ulmfit made");
    }
    for (const Entry& entry : parse(read_file(path))) {
      if (auto defect = entry_defect(folder, entry, checksums)) return defect;
    }
  } catch (const json::exception& e) {
    return str(path.string(), ": not a valid manifest: ", e.what());
  } catch (const FileError& e) {
    return str(path.string(), ": not a valid manifest: ", e.what());
  } catch (const fs::filesystem_error& e) {
    return str(folder.string(), ": ", e.what());
  }
  return std::nullopt;
}

std::optional<std::string> manifest_checksum(const fs::path& folder, std::string_view name) {
  for (Entry& entry : parse(read_file(folder / kManifestName))) {
    if (entry.name == name) return std::move(entry.xxh3);
  }
  return std::nullopt;
}

}  // namespace ulmfit
