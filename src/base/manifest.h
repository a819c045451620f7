// FOLDER/MANIFEST.json: name, size and checksum of each file of a folder, written last. A folder without a valid one does
// not exist for a reader. Corpora, checkpoints and stages use it.
//
//   {"format": "ulmfit-manifest", "version": 1, "files": [{"name": "model.safetensors", "bytes": 1234, "xxh3": "32
//   digits"}]}
//
// Names are relative paths with '/', sorted by their bytes, without "." or ".."; links are refused on both sides.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace ulmfit {

inline constexpr std::string_view kManifestName = "MANIFEST.json";

// Writes the manifest over every regular file below the folder (but the manifest itself and .lock), synced and renamed into
// place; the files must be synced already. Throws FileError, also for a link or a special file below the folder.
void write_manifest(const std::filesystem::path& folder);

// The first thing wrong with the folder by its manifest, as a sentence naming file, expected and found; nothing if every
// file is there with its size, and its checksum if `checksums`. Files that the manifest does not name are ignored.
std::optional<std::string> manifest_defect(const std::filesystem::path& folder, bool checksums);

// The checksum of a file as the manifest has it; nothing if it does not name the file. Throws FileError, json::exception
// for a manifest that manifest_defect() finds fault with.
std::optional<std::string> manifest_checksum(const std::filesystem::path& folder, std::string_view name);

// Throws ErrorType (DataError, CheckpointError, ...) with the defect.
template <class ErrorType>
void check_manifest(const std::filesystem::path& folder, bool checksums) {
  if (const auto defect = manifest_defect(folder, checksums)) throw ErrorType(*defect);
}

}  // namespace ulmfit
